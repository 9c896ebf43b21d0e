"""How fast jobs have started and executions have run so far, to tell whether a further job would find work."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_RECENT_STARTS: Final = 16
_WEIGHT_OF_THE_LAST: Final = 0.2


@dataclass(frozen=True)
class Pace:
    """What has been seen of the times that things take."""

    recent_starts: tuple[float, ...] = ()
    """Seconds from the submission of a job to its worker, of the last that have started."""
    run_seconds: Mapping[JobSize, float] = field(default_factory=dict)
    """How long an execution takes in jobs of a size, on average, the last ones counting most."""

    @property
    def start_seconds(self) -> float:
        """The shortest time in which a job has started of late; 0 where none has."""
        return min(self.recent_starts, default=0.0)

    def with_start(self, seconds: float) -> "Pace":
        """Return the pace after a job has started."""
        return dataclasses.replace(self, recent_starts=(*self.recent_starts, seconds)[-_RECENT_STARTS:])

    def with_run(self, size: JobSize, seconds: float) -> "Pace":
        """Return the pace after an execution has ended well."""
        before = self.run_seconds.get(size, seconds)
        average = before + _WEIGHT_OF_THE_LAST * (seconds - before)
        return dataclasses.replace(self, run_seconds={**self.run_seconds, size: average})


UNKNOWN_PACE: Final = Pace()
"""Nothing has been seen yet."""

"""Measured start times of jobs and run times of executions, to estimate whether a further job would find work."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_RECENT_STARTS: Final = 16
_WEIGHT_OF_THE_LAST: Final = 0.2


@dataclass(frozen=True)
class Pace:
    """Measured times of jobs and executions."""

    recent_starts: tuple[float, ...] = ()
    """Seconds from submission to the connection of the worker, for the latest jobs that have started."""
    run_seconds: Mapping[JobSize, float] = field(default_factory=dict)
    """Average run time of an execution in jobs of a size. The latest ones count most."""

    @property
    def start_seconds(self) -> float:
        """The shortest start time of the latest jobs; 0 if none has started."""
        return min(self.recent_starts, default=0.0)

    def with_start(self, seconds: float) -> "Pace":
        """Return the estimate after a job has started."""
        return dataclasses.replace(self, recent_starts=(*self.recent_starts, seconds)[-_RECENT_STARTS:])

    def with_run(self, size: JobSize, seconds: float) -> "Pace":
        """Return the estimate after an execution has succeeded."""
        before = self.run_seconds.get(size, seconds)
        average = before + _WEIGHT_OF_THE_LAST * (seconds - before)
        return dataclasses.replace(self, run_seconds={**self.run_seconds, size: average})


UNKNOWN_PACE: Final = Pace()
"""The estimate before any job has started."""

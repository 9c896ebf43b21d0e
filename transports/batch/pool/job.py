"""One batch job with a pilot in it, as the pool sees it: a value in exactly one state."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize


class State(StrEnum):
    """Where a job is in its life."""

    SUBMITTING = "submitting"
    """The scheduler has been told to take it and has not answered yet."""
    IN_DOUBT = "in doubt"
    """The submission was not answered, so the job may exist; it has not been looked for by its mark yet."""
    MISSING = "missing"
    """It was looked for by its mark and not found; a request that is on its way may still make it appear."""
    QUEUED = "queued"
    """The scheduler has given it an id; its worker has not connected."""
    ARRIVED = "arrived"
    """Its worker has connected before its id is known; without the id nobody could follow what runs in it."""
    READY = "ready"
    """Its worker is connected and takes executions."""
    DRAINING = "draining"
    """Its worker is connected and takes nothing more; it ends after what runs in it."""
    RETIRING = "retiring"
    """Its worker was told to end; nothing runs in it."""
    LEFT = "left"
    """Its worker has ended as it was told to; the scheduler has not said yet that the job is over."""
    LOST = "lost"
    """Its worker is not connected any more; what ran in it may still run, and is followed by its files."""
    RESTARTED = "restarted"
    """A new worker has connected in it, and what the worker before it ran has not ended yet."""
    CANCELLING = "cancelling"
    """The scheduler was told to end it."""
    VANISHED = "vanished"
    """The scheduler says that it is over, but processes of it may be left: a node that is cut off goes on."""
    CLOSED = "closed"
    """No process of it is left."""


TO_START: Final = frozenset({State.SUBMITTING, State.IN_DOUBT, State.QUEUED})
"""A worker is yet to come."""
FOLLOWED_BY_FILES: Final = frozenset({State.LOST, State.RESTARTED, State.CANCELLING, State.VANISHED})
"""No worker tells how executions end: their directories are looked at instead."""
_WITHOUT_PLACE: Final = frozenset({State.MISSING, State.LEFT, State.CANCELLING, State.VANISHED, State.CLOSED})
"""It is over or about to be, or there may be no such job."""


@dataclass(frozen=True)
class Job:
    """
    A batch job.

    Times are seconds of the coordinator's monotonic clock.
    """

    name: str
    """The name that its worker tells when it connects; unique over all coordinators."""
    size: JobSize
    scheduler: str
    """Name of the scheduler, for messages."""
    submitted_at: float
    state: State = State.SUBMITTING
    since: float = 0.0
    """When it came into its state."""
    job_id: str = ""
    """Given by the scheduler; empty where it is not known."""
    address: str = ""
    """Of its worker; that of the last one where none is connected."""
    connected_at: float = -math.inf
    """When that worker connected."""
    ends_at: float = math.inf
    """When its walltime is over."""
    executions: Mapping[Path, ResourceHint] = field(default_factory=dict)
    """What runs in it, by directory."""
    given: int = 0
    """How many executions it has been given."""
    idle_since: float = 0.0
    """When something last ran in it, or it became ready."""
    record: JobRecord | None = None
    """What the scheduler said of it last."""
    polled_at: float = 0.0
    """When that was."""
    unknown_polls: int = 0
    """How many times in a row the scheduler knew nothing of it."""
    requeued: bool = False
    """
    Whether the scheduler has put it back into the queue while something ran in it that has not ended since.

    What the scheduler says of its end is about its last run alone: a node that was cut off may go on with an earlier.
    """
    cancel_told_at: float = -math.inf
    """When the scheduler was last told to end it."""

    @property
    def has_place(self) -> bool:
        """Whether it counts as one of the jobs that the pool may have."""
        return self.state not in _WITHOUT_PLACE or bool(self.executions)

    @property
    def free_cpu(self) -> int:
        """Processors that no execution has."""
        return self.size.cpu - sum(resources.cpu for resources in self.executions.values())

    def free_memory_mb(self, headroom_mb: int) -> int:
        """Return the memory that no execution has, without what is for the worker."""
        used_mb = headroom_mb + sum(resources.memory_mb for resources in self.executions.values())
        return self.size.memory_mb - used_mb

    def has_room_for(self, resources: ResourceHint, headroom_mb: int) -> bool:
        """Return whether an execution fits beside what runs in the job."""
        return resources.cpu <= self.free_cpu and resources.memory_mb <= self.free_memory_mb(headroom_mb)

    def enter(self, state: State, now: float) -> "Job":
        """Return the job in another state."""
        return self if state is self.state else dataclasses.replace(self, state=state, since=now)

    def without(self, *directories: Path) -> "Job":
        """Return the job without executions that have ended in it."""
        left = {directory: held for directory, held in self.executions.items() if directory not in directories}
        return dataclasses.replace(self, executions=left)

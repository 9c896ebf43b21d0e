"""A batch job with a pilot, as the pool knows it: a frozen value with one of the states of `JobState`."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize


class JobState(StrEnum):
    """The state of a job in the pool, by its submission, its worker and the scheduler."""

    SUBMITTING = "submitting"
    """It has been submitted, and the scheduler has not answered yet."""
    IN_DOUBT = "in doubt"
    """The submission was not answered. The job may exist, and has not been looked for by its mark yet."""
    MISSING = "missing"
    """It was looked for by its mark and not found. It may still appear if the request is delayed."""
    QUEUED = "queued"
    """The scheduler has given it an id, and its worker has not connected yet."""
    ARRIVED = "arrived"
    """Its worker has connected before its id is known. Without the id its executions could not be followed."""
    READY = "ready"
    """Its worker is connected and takes executions."""
    DRAINING = "draining"
    """Its worker is connected and takes no further execution. It exits after the running ones."""
    RETIRING = "retiring"
    """Its worker was asked to exit, and nothing runs in it."""
    LEFT = "left"
    """Its worker has exited as requested. The scheduler has not yet reported that the job is over."""
    LOST = "lost"
    """Its worker has disconnected. Its executions may still run, and are followed by their files."""
    RESTARTED = "restarted"
    """A new worker has connected, and the executions of the earlier worker have not ended yet."""
    CANCELLING = "cancelling"
    """The scheduler was asked to cancel it."""
    VANISHED = "vanished"
    """The scheduler says that it is over, but processes may be left, because a disconnected node goes on."""
    CLOSED = "closed"
    """It is over, and no process of it is left."""


TO_START: Final = frozenset({JobState.SUBMITTING, JobState.IN_DOUBT, JobState.QUEUED})
"""No worker has connected yet."""
FOLLOWED_BY_FILES: Final = frozenset({JobState.LOST, JobState.RESTARTED, JobState.CANCELLING, JobState.VANISHED})
"""No worker reports how executions end, so their directories are examined instead."""
_WITHOUT_PLACE: Final = frozenset(
    {JobState.MISSING, JobState.LEFT, JobState.CANCELLING, JobState.VANISHED, JobState.CLOSED}
)
"""It is over or about to end, or it may not exist."""


@dataclass(frozen=True)
class Job:
    """
    A batch job.

    Times are seconds of the coordinator's monotonic clock.
    """

    name: str
    """The name under which its worker connects; unique over all coordinators."""
    size: JobSize
    scheduler: str
    """Name of the scheduler, for messages."""
    submitted_at: float
    state: JobState = JobState.SUBMITTING
    since: float = 0.0
    """When it entered its state."""
    job_id: str = ""
    """The id that the scheduler gave it; empty if it is unknown."""
    address: str = ""
    """Address of its worker, or of the last one if none is connected."""
    connected_at: float = -math.inf
    """When that worker connected."""
    ends_at: float = math.inf
    """When its walltime is over."""
    executions: Mapping[Path, ResourceHint] = field(default_factory=dict)
    """The executions that run in it, by directory, with their resources."""
    given: int = 0
    """How many executions it has been given."""
    idle_since: float = 0.0
    """When an execution last ended in it, or it became ready."""
    record: JobRecord | None = None
    """The scheduler's last record of it."""
    polled_at: float = 0.0
    """When the scheduler was asked for that record."""
    unknown_polls: int = 0
    """How many times in a row the scheduler did not know it."""
    requeued: bool = False
    """
    Whether the scheduler has put it back into the queue while something ran in it that has not ended since.

    What the scheduler says of its end is about its last run alone: a node that was cut off may go on with an earlier.
    """
    cancel_told_at: float = -math.inf
    """When the scheduler was last asked to cancel it."""

    @property
    def has_place(self) -> bool:
        """Whether it counts towards the limit of jobs."""
        return self.state not in _WITHOUT_PLACE or bool(self.executions)

    @cached_property
    def used_cpu(self) -> int:
        """Processors that its executions use."""
        return sum(resources.cpu for resources in self.executions.values())

    @cached_property
    def used_memory_mb(self) -> int:
        """Memory that its executions use."""
        return sum(resources.memory_mb for resources in self.executions.values())

    @cached_property
    def most_cpu(self) -> int:
        """The most processors that one of its executions uses."""
        return max((resources.cpu for resources in self.executions.values()), default=0)

    @cached_property
    def most_memory_mb(self) -> int:
        """The most memory that one of its executions uses."""
        return max((resources.memory_mb for resources in self.executions.values()), default=0)

    @property
    def free_cpu(self) -> int:
        """Processors that no execution uses."""
        return self.size.cpu - self.used_cpu

    def free_memory_mb(self, headroom_mb: int) -> int:
        """Return the memory that no execution uses, without the memory reserved for the worker."""
        return self.size.memory_mb - headroom_mb - self.used_memory_mb

    def enter(self, state: JobState, now: float) -> "Job":
        """Return the job in another state."""
        return self if state is self.state else dataclasses.replace(self, state=state, since=now)

    def without(self, *directories: Path) -> "Job":
        """Return the job without executions that have ended."""
        left = {directory: held for directory, held in self.executions.items() if directory not in directories}
        return dataclasses.replace(self, executions=left)

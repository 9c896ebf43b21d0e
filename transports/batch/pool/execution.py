"""An execution that was submitted and has not ended, as a value."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Submission


class Room(NamedTuple):
    """What a job has left, or an execution asks for."""

    cpu: int
    memory_mb: int
    seconds: float

    def is_within(self, other: "Room") -> bool:
        """Whether this fits into another, in time as well."""
        return self.cpu <= other.cpu and self.memory_mb <= other.memory_mb and self.seconds <= other.seconds


@dataclass(frozen=True)
class Execution:
    """
    An execution in the pool.

    Times are seconds of the coordinator's monotonic clock.
    """

    submission: Submission
    size: JobSize
    """Size of the jobs in which it may run."""
    resources: ResourceHint
    submitted_at: float
    job: str = ""
    """Name of the job in which it runs; empty while it waits."""
    skipped: int = 0
    """How many later executions were given to a job that had no room for this one."""
    reserved_job: str = ""
    """Name of the job that is reserved for it until it has room; empty without one."""
    started_at: float = 0.0
    cancelled_at: float | None = None
    said: ExecutionOutcome | None = None
    """The outcome that its worker reported, if the end of the job may give a better reason."""
    said_at: float = 0.0

    @property
    def directory(self) -> Path:
        """The directory, which identifies the execution."""
        return self.submission.directory

    @cached_property
    def request(self) -> Room:
        """What it asks for."""
        return Room(self.resources.cpu, self.resources.memory_mb, self.resources.wall_clock_seconds)

    def started(self, job: str, now: float) -> "Execution":
        """Return the execution as running in a job."""
        return dataclasses.replace(self, job=job, started_at=now)

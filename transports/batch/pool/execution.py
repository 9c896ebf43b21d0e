"""An execution that was submitted and has not ended, as a value."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Submission


@dataclass(frozen=True)
class Execution:
    """
    An execution in the pool.

    Times are seconds of the coordinator's monotonic clock.
    """

    submission: Submission
    size: JobSize
    """Of the jobs in which it may run."""
    resources: ResourceHint
    submitted_at: float
    job: str = ""
    """Name of the job in which it runs; empty while it waits."""
    skipped: int = 0
    """How many later ones a job has taken that had no room for it."""
    reserved_job: str = ""
    """Name of the job that takes nothing more until it has room for it."""
    started_at: float = 0.0
    cancelled_at: float | None = None
    said: ExecutionOutcome | None = None
    """What its worker said of an end that the end of its job may explain better."""
    said_at: float = 0.0

    @property
    def directory(self) -> Path:
        """What identifies it."""
        return self.submission.directory

    def started(self, job: str, now: float) -> "Execution":
        """Return it as one that runs in a job."""
        return dataclasses.replace(self, job=job, started_at=now)

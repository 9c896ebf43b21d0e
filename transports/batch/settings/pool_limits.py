"""How many jobs a pool has, and for how long."""

from datetime import timedelta

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.transports.iso_duration import Duration, PositiveDuration


class PoolLimits(FrozenModel):
    """Limits of one pool of batch jobs."""

    max_jobs: int = Field(default=20, gt=0)
    """Jobs at a time, waiting ones included, over all sizes."""

    executions_per_job: int | None = Field(default=None, gt=0)
    """After how many executions a job ends; none for as many as its walltime allows, 1 for a job for each."""

    idle_seconds: float = Field(default=60.0, ge=0)
    """How long a job that has started is kept that nobody needs; one in the queue for ten minutes at least."""

    poll_seconds: float = Field(default=10.0, gt=0)
    """How often the scheduler is asked about its jobs, at most; while the pool closes, more often."""

    pending_report: Duration = timedelta(minutes=30)
    """After how long in the queue a job is reported in the log."""

    pending_limit: PositiveDuration | None = None
    """After how long without a job an execution is given up; none to wait for ever."""

    scheduler_patience: Duration = timedelta(hours=1)
    """For how long a job is offered to a scheduler that does not answer."""

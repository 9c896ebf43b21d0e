"""Limits of a pool: how many jobs it has, and for how long."""

from datetime import timedelta

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.transports.iso_duration import Duration, PositiveDuration


class PoolLimits(FrozenModel):
    """Limits of one pool of batch jobs."""

    max_jobs: int = Field(default=20, gt=0)
    """The largest number of jobs at a time, waiting ones included, over all sizes."""

    executions_per_job: int | None = Field(default=None, gt=0)
    """After how many executions a job ends; None for as many as its walltime allows, 1 for a job per execution."""

    idle_seconds: float = Field(default=60.0, ge=0)
    """How long an idle job is kept after its last execution. A queued job is kept for at least ten minutes."""

    poll_seconds: float = Field(default=10.0, gt=0)
    """The shortest pause between two queries of the scheduler. While the pool closes, they are more frequent."""

    pending_report: Duration = timedelta(minutes=30)
    """After how long in the queue a job is reported in the log."""

    pending_limit: PositiveDuration | None = None
    """After how long without a job an execution is given up; None to wait for ever."""

    scheduler_patience: Duration = timedelta(hours=1)
    """For how long jobs are submitted to a scheduler that does not accept them."""

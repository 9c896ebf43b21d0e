"""A warning about a job that waits in the queue for longer than is expected."""

from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.pool_actions import Warn
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import SchedulerJobState
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits


def pending_report(before: Job, after: Job, rules: PoolLimits) -> Warn | None:
    """Return a warning about a job that has just exceeded `pending_report`, as a poll has shown."""
    record, limit = after.record, rules.pending_report.total_seconds()
    waited = after.polled_at - after.submitted_at
    told_before = before.polled_at - before.submitted_at > limit
    pending = record is not None and record.state is SchedulerJobState.PENDING and after.state is JobState.QUEUED
    if record is None or not pending or waited <= limit or told_before:
        return None
    job = f"{after.scheduler} job {after.job_id} ({after.size.label})"
    return Warn(f"{job} has waited for {waited / 60:.0f} min: {record.words}")

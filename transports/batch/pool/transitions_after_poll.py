"""Transitions of a job after a poll of the scheduler: the job after its new record, and the actions that follow."""

import dataclasses
from typing import Final, TypeAlias

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Limit
from climate_ref_prefect.transports.batch.dask.pilot_messages import NO_COORDINATOR
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.job_events import Polled
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CancelJob,
    CloseWorker,
    EndExecutions,
    JobAction,
    RejectSize,
    StartFailed,
)
from climate_ref_prefect.transports.batch.pool.termination import (
    termination_before_start,
    termination_by_endless_wait,
    termination_of,
)
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord, SchedulerJobState

Transition: TypeAlias = tuple[Job, tuple[JobAction, ...]]
CANCEL_PAUSE_SECONDS: Final = 60.0
"""
How long a scheduler may take to cancel a job before the request is repeated.

PBS counts the time until it kills a job from the last `qdel`, so that a repeated request postpones the end.
"""
LEAVING_SECONDS: Final = 30.0
"""How long a job may take to end after its worker was asked to exit."""
_UNKNOWN_IS_OVER: Final = 2
"""A job that is unknown this many times in a row is over. One time is not enough, because new jobs may show late."""


def polled(job: Job, event: Polled, now: float) -> Transition:
    """Return a job after the scheduler has reported on it."""
    record = event.record
    unknown_polls = job.unknown_polls + 1 if record.state is SchedulerJobState.UNKNOWN else 0
    job = dataclasses.replace(job, unknown_polls=unknown_polls, polled_at=now)
    if 0 < unknown_polls < _UNKNOWN_IS_OVER or not job.job_id:
        return job, ()
    job = dataclasses.replace(job, record=_with_what_was_known(record, job.record))
    if record.over:
        return _over(job, event.output, now)
    if record.state is SchedulerJobState.PENDING:
        return _pending(job, event, now)
    return _running(job, now)


def tell_to_end(job: Job, now: float) -> Transition:
    """Return a job to be cancelled, with the request to the scheduler unless that was sent a moment ago."""
    if now - job.cancel_told_at < CANCEL_PAUSE_SECONDS:
        return job.enter(JobState.CANCELLING, now), ()
    told = dataclasses.replace(job, cancel_told_at=now).enter(JobState.CANCELLING, now)
    return told, (CancelJob(job.name, job.job_id),)


def _with_what_was_known(record: JobRecord, before: JobRecord | None) -> JobRecord:
    """Return the record of a job that the scheduler has forgotten, completed by its earlier record."""
    if record.state is not SchedulerJobState.UNKNOWN or before is None:
        return record
    words = {"state": record.state, "words": record.words, "confirmed": record.confirmed}
    return before.model_copy(update=words)


def _over(job: Job, output: str | None, now: float) -> Transition:
    if job.state is JobState.QUEUED:
        return job.enter(JobState.CLOSED, now), (_start_failed(job, output),)
    confirmed = job.record is not None and job.record.confirmed
    if not job.executions:
        # A node that the scheduler cannot reach may still be connected to the coordinator.
        return job.enter(JobState.CLOSED, now), () if confirmed else (CloseWorker(job.address),)
    if confirmed and not job.requeued:
        directories = tuple(job.executions)
        ended = job.without(*directories).enter(JobState.CLOSED, now)
        return ended, (EndExecutions(directories, termination_of(job)),)
    return job.enter(JobState.VANISHED, now), ()


def _pending(job: Job, event: Polled, now: float) -> Transition:
    """Return a job that is queued, for the first time or again, because a site may requeue any job."""
    if job.state is JobState.QUEUED:
        return _never_starts(job, now) if event.record.never else (job, ())
    if event.asked_at <= job.connected_at:  # The answer is older than the connection of the worker.
        return job, ()
    return tell_to_end(dataclasses.replace(job, requeued=bool(job.executions)), now)


def _never_starts(job: Job, now: float) -> Transition:
    told, actions = tell_to_end(job, now)
    return told, (*actions, RejectSize(job.size, termination_by_endless_wait(job)))


def _running(job: Job, now: float) -> Transition:
    if job.state is JobState.VANISHED:  # It is not over, contrary to an earlier record.
        return job.enter(JobState.LOST, now), ()
    forgotten = job.state is JobState.LOST and not job.executions
    late = job.state in (JobState.RETIRING, JobState.LEFT) and now - job.since > LEAVING_SECONDS
    return tell_to_end(job, now) if forgotten or late or job.state is JobState.CANCELLING else (job, ())


def _start_failed(job: Job, output: str | None) -> StartFailed:
    cause = termination_before_start(job, output)
    return StartFailed(job.size, job.job_id, cause, own_fault=_is_own_fault(job.record, output))


def _is_own_fault(record: JobRecord | None, output: str | None) -> bool:
    """
    Return whether other jobs of that size would end in the same way.

    They would not if the job was lost with its node, preempted or cancelled, or could not reach its coordinator.
    If the scheduler has forgotten the job, its output shows at least whether it ran.
    """
    if record is None or (record.kind is not None and FAILURE_RULES[record.kind].limit is Limit.LOST):
        return False
    if output is not None and NO_COORDINATOR in output:
        return False
    return output is not None or record.state is not SchedulerJobState.UNKNOWN

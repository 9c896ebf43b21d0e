"""The state machine of a batch job: `step` returns the job after an event, and the actions that follow."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelAnswered,
    CancelRequested,
    Connected,
    Disconnected,
    DoubtExpired,
    Drain,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    Found,
    NoAnswer,
    NotFound,
    NotTaken,
    Polled,
    Quiet,
    Refused,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.pool_actions import CloseWorker, EndExecutions, RejectSize
from climate_ref_prefect.transports.batch.pool.termination import (
    termination_by_refusal,
    termination_by_restart,
    termination_of,
)
from climate_ref_prefect.transports.batch.pool.transitions_after_poll import (
    CANCEL_PAUSE_SECONDS,
    Transition,
    polled,
    tell_to_end,
)

DOUBT_SECONDS: Final = 900.0
"""How long to look for a job whose submission was not answered. SLURM refuses requests that are older (munge)."""
CANCEL_RETRY_SECONDS: Final = 10.0
"""The shortest pause before a failed request to cancel a job is repeated."""
_WITHOUT_ID: Final = frozenset({JobState.SUBMITTING, JobState.IN_DOUBT, JobState.MISSING})


def step(job: Job, event: Event, now: float) -> Transition:
    """
    Return a job after an event, and the actions that follow.

    Parameters
    ----------
    job
        The job before the event.
    event
        What has happened to it.
    now
        Seconds of the monotonic clock.
    """
    if job.state is JobState.CLOSED:  # If its worker connects all the same, it is asked to exit.
        return job, (CloseWorker(event.address),) if isinstance(event, Connected) else ()
    return _HANDLERS[type(event)](job, event, now)


def _identified(job: Job, event: Submitted | Found, now: float) -> Transition:
    if job.state in _WITHOUT_ID:  # Its worker may have come and gone before the id was known.
        state = JobState.QUEUED if job.connected_at == -math.inf else JobState.LOST
        return dataclasses.replace(job, job_id=event.job_id).enter(state, now), ()
    if job.state is JobState.ARRIVED:
        return _ready(dataclasses.replace(job, job_id=event.job_id), now), ()
    return job, ()


def _refused(job: Job, event: Refused, now: float) -> Transition:
    cause = termination_by_refusal(job, event.words)
    job, actions = _not_taken(job, NotTaken(), now)
    return job, (*actions, RejectSize(job.size, cause)) if job.state is JobState.CLOSED else actions


def _not_taken(job: Job, _: NotTaken, now: float) -> Transition:
    if job.state is JobState.ARRIVED:  # The scheduler has accepted it all the same.
        return job.enter(JobState.CLOSED, now), (CloseWorker(job.address),)
    return (job.enter(JobState.CLOSED, now) if job.state is JobState.SUBMITTING else job), ()


def _not_answered(job: Job, _: NoAnswer, now: float) -> Transition:
    return (job.enter(JobState.IN_DOUBT, now) if job.state is JobState.SUBMITTING else job), ()


def _not_found(job: Job, _: NotFound, now: float) -> Transition:
    if job.state is JobState.IN_DOUBT:
        return job.enter(JobState.MISSING, now), ()
    if job.state is JobState.MISSING and now - job.submitted_at > DOUBT_SECONDS:
        return job.enter(JobState.CLOSED, now), ()
    if job.state is JobState.ARRIVED:  # Without an id its executions could not be followed.
        return job.enter(JobState.MISSING, now), (CloseWorker(job.address),)
    return job, ()


def _doubt_expired(job: Job, _: DoubtExpired, now: float) -> Transition:
    return (job.enter(JobState.MISSING, now) if job.state is JobState.IN_DOUBT else job), ()


def _connected(job: Job, event: Connected, now: float) -> Transition:
    job = dataclasses.replace(job, requeued=bool(job.executions))
    if job.state is JobState.CANCELLING:
        return job, (CloseWorker(event.address),)
    job = dataclasses.replace(
        job, address=event.address, connected_at=now, ends_at=now - event.age_seconds + job.size.walltime_seconds
    )
    if job.state in (JobState.RETIRING, JobState.LEFT):
        return job.enter(JobState.RETIRING, now), (CloseWorker(event.address),)
    if not job.job_id:
        return job.enter(JobState.ARRIVED, now), ()
    if job.executions:
        return job.enter(JobState.RESTARTED, now), ()
    return _ready(job, now), ()


def _ready(job: Job, now: float) -> Job:
    return dataclasses.replace(job, idle_since=now, requeued=False).enter(JobState.READY, now)


def _disconnected(job: Job, event: Disconnected, now: float) -> Transition:
    if event.address == job.address and job.state in _WITHOUT_WORKER:  # not the address of an earlier worker
        return job.enter(_WITHOUT_WORKER[job.state], now), ()
    return job, ()


_WITHOUT_WORKER: Final[Mapping[JobState, JobState]] = {
    JobState.ARRIVED: JobState.IN_DOUBT,
    JobState.READY: JobState.LOST,
    JobState.DRAINING: JobState.LOST,
    JobState.RESTARTED: JobState.LOST,
    JobState.RETIRING: JobState.LEFT,
}


def _execution_started(job: Job, event: ExecutionStarted, now: float) -> Transition:
    if job.state is not JobState.READY:
        raise ValueError(f"{event.directory} was given to job {job.job_id}, which is {job.state}.")
    held = {**job.executions, event.directory: event.resources}
    return dataclasses.replace(job, executions=held, given=job.given + 1), ()


def _execution_ended(job: Job, event: ExecutionEnded, now: float) -> Transition:
    job = dataclasses.replace(job.without(event.directory), idle_since=now)
    # The scheduler counts running out of memory for the whole job, so that later executions would be blamed for it.
    if job.state is JobState.READY and event.out_of_memory:
        return _drained(job, Drain(), now)
    if job.executions:
        return job, ()
    if job.state is JobState.DRAINING:
        return job.enter(JobState.RETIRING, now), (CloseWorker(job.address),)
    if job.state is JobState.RESTARTED:
        return _ready(job, now), ()
    if job.state is JobState.VANISHED:  # its worker may be connected all the same
        return job.enter(JobState.CLOSED, now), (CloseWorker(job.address),)
    return job, ()


def _quiet(job: Job, _: Quiet, now: float) -> Transition:
    directories = tuple(job.executions)
    if job.state is JobState.VANISHED:
        ended = job.without(*directories).enter(JobState.CLOSED, now)
        return ended, (EndExecutions(directories, termination_of(job)), CloseWorker(job.address))
    if job.state is JobState.RESTARTED:
        ready = _ready(job.without(*directories), now)
        return ready, (EndExecutions(directories, termination_by_restart(job)),)
    return job, ()


def _drained(job: Job, _: Drain, now: float) -> Transition:
    if job.state is JobState.QUEUED:
        return _cancelled(job, CancelRequested(), now)
    if job.state is not JobState.READY:
        return job, ()
    if job.executions:
        return job.enter(JobState.DRAINING, now), ()
    return job.enter(JobState.RETIRING, now), (CloseWorker(job.address),)


def _cancelled(job: Job, _: CancelRequested, now: float) -> Transition:
    if not job.job_id or job.state in (JobState.CANCELLING, JobState.VANISHED):
        return job, ()
    return tell_to_end(job, now)


def _cancel_answered(job: Job, event: CancelAnswered, now: float) -> Transition:
    if job.state is not JobState.CANCELLING:
        return job, ()
    told_at = now if event.error is None else now - CANCEL_PAUSE_SECONDS + CANCEL_RETRY_SECONDS
    return dataclasses.replace(job, cancel_told_at=told_at), ()


_HANDLERS: Final[Mapping[type, Callable[[Job, Any, float], Transition]]] = {
    Submitted: _identified,
    Found: _identified,
    Refused: _refused,
    NotTaken: _not_taken,
    NoAnswer: _not_answered,
    NotFound: _not_found,
    DoubtExpired: _doubt_expired,
    Connected: _connected,
    Disconnected: _disconnected,
    Polled: polled,
    ExecutionStarted: _execution_started,
    ExecutionEnded: _execution_ended,
    Quiet: _quiet,
    Drain: _drained,
    CancelRequested: _cancelled,
    CancelAnswered: _cancel_answered,
}

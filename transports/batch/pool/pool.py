"""The state of a pool of batch jobs: methods take what has happened and return the actions that follow, without I/O."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.failed_starts import FailedStarts
from climate_ref_prefect.transports.batch.pool.failed_submissions import Submissions
from climate_ref_prefect.transports.batch.pool.job import FOLLOWED_BY_FILES, Job, JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelRequested,
    Connected,
    Disconnected,
    DoubtExpired,
    Drain,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    Found,
    Polled,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.pending_report import pending_report
from climate_ref_prefect.transports.batch.pool.plan import Limits, Plan
from climate_ref_prefect.transports.batch.pool.planning import plan
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CloseWorker,
    EndExecutions,
    JobAction,
    PoolAction,
    RejectSize,
    ReportEnd,
    StartExecution,
    StartFailed,
    StopExecution,
    SubmitJob,
    Warn,
)
from climate_ref_prefect.transports.batch.pool.termination import (
    CANCELLED_BEFORE_START,
    STARTED_TOO_LATE,
    is_explained_by_job,
    meta_of,
    termination_of_waiting,
)
from climate_ref_prefect.transports.batch.pool.throughput_estimate import Pace
from climate_ref_prefect.transports.batch.pool.transitions import step
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Termination

CANCEL_SECONDS: Final = 15.0
"""How long a cancelled execution may take to end before its job is cancelled."""
EXPLAIN_SECONDS: Final = 5.0
"""How long to wait for the end of a job that explains the end of an execution in it."""
IN_DOUBT_SECONDS: Final = 300.0
"""How long no further job is submitted while a scheduler that does not answer may have taken the last one."""
_LOOKED_FOR: Final = (JobState.IN_DOUBT, JobState.MISSING, JobState.ARRIVED)


class Pool:
    """
    The jobs and executions of one pool.

    Every method that changes it takes the time, in seconds of the monotonic clock, and returns actions.

    Parameters
    ----------
    scheduler
        Name of the scheduler, for messages.
    limits
        Limits of the pool.
    new_name
        Returns a name for a job of a size, unique over all coordinators.
    """

    def __init__(self, scheduler: str, limits: Limits, new_name: Callable[[JobSize], str]) -> None:
        self._scheduler = scheduler
        self._limits = limits
        self._new_name = new_name
        self._jobs: dict[str, Job] = {}
        self._sizes: dict[JobSize, JobSize] = {}
        self._waiting: dict[JobSize, dict[Path, Execution]] = {}
        self._running: dict[Path, Execution] = {}
        self._rejected: dict[JobSize, Termination] = {}
        self._failed_starts: dict[JobSize, FailedStarts] = {}
        self._submissions = Submissions(scheduler, limits.rules.scheduler_patience.total_seconds())
        self._pace = Pace()
        self._begin_with = ""
        """The job that the next plan begins with, after one that has ended before all had their turn."""

    @property
    def has_more_to_start(self) -> bool:
        """Whether `arrange` has ended before every job had its turn, and is to be called again at once."""
        return bool(self._begin_with)

    @property
    def jobs(self) -> Sequence[Job]:
        """All jobs that are not closed."""
        return tuple(self._jobs.values())

    def jobs_to_find(self) -> list[str]:
        """Return the names of jobs that must be looked for by their marks."""
        return [job.name for job in self._jobs.values() if job.state in _LOOKED_FOR]

    def jobs_to_follow(self) -> list[Job]:
        """Return the jobs without a connected worker, whose executions are followed by their files."""
        return [job for job in self._jobs.values() if job.executions and job.state in FOLLOWED_BY_FILES]

    def take(self, execution: Execution) -> list[PoolAction]:
        """Add a submitted execution."""
        if execution.directory in self._running or execution.directory in self._waiting.get(execution.size, {}):
            return []
        if execution.size in self._rejected:
            return [_never_started(execution, self._rejected[execution.size])]
        # One object for each size: a dictionary then finds it without comparing its fields.
        size = self._sizes.setdefault(execution.size, execution.size)
        self._waiting.setdefault(size, {})[execution.directory] = dataclasses.replace(execution, size=size)
        return []

    def cancel(self, directory: Path, now: float) -> list[PoolAction]:
        """Stop an execution, or keep it from starting. An unknown one is ignored."""
        for waiting in self._waiting.values():
            if directory in waiting:
                return [_never_started(waiting.pop(directory), CANCELLED_BEFORE_START)]
        execution = self._running.get(directory)
        if execution is None or execution.cancelled_at is not None:
            return []
        self._running[directory] = dataclasses.replace(execution, cancelled_at=now)
        job = self._jobs[execution.job]
        if job.state in (JobState.READY, JobState.DRAINING):
            return [StopExecution(job.address, directory)]
        return self.on(job.name, CancelRequested(), now)

    def on(self, name: str, event: Event, now: float) -> list[PoolAction]:
        """Apply an event to a job. A worker in an unknown job is asked to exit."""
        job = self._jobs.get(name)
        if job is None:
            return [CloseWorker(event.address)] if isinstance(event, Connected) else []
        after, actions = step(job, event, now)
        if after.state is JobState.CLOSED:
            del self._jobs[name]
        else:
            self._jobs[name] = after
        if isinstance(event, Submitted | Found):
            self._submissions.succeeded(job.size)
        if isinstance(event, Connected) and job.state is JobState.QUEUED:
            self._pace = self._pace.with_start(now - event.age_seconds - job.submitted_at)
        warnings = [pending_report(job, after, self._limits.rules)] if isinstance(event, Polled) else []
        done = [one for action in actions for one in self._carried_out(action, after, now)]
        return [*(warning for warning in warnings if warning), *done]

    def not_submitted(self, name: str, error: Exception, now: float) -> list[PoolAction]:
        """Take note of a submission that has failed."""
        job = self._jobs.get(name)
        if job is None:
            return []
        has_jobs = any(other.has_place for other in self._jobs.values() if other is not job)
        failure = self._submissions.failed(job.size, error, now, has_jobs=has_jobs)
        actions = self.on(name, failure.event, now)
        if failure.cause is not None:
            actions += self._reject(RejectSize(job.size, failure.cause))
        return [*([Warn(failure.warning)] if failure.warning else []), *actions]

    def answered(self, directory: Path, outcome: ExecutionOutcome, now: float) -> list[PoolAction]:
        """Take the outcome that a worker has returned, which the end of its job may explain better."""
        execution = self._running.get(directory)
        if execution is None:
            return []
        if is_explained_by_job(outcome):
            self._running[directory] = dataclasses.replace(execution, said=outcome, said_at=now)
            return []
        return self.ended(directory, outcome, now)

    def ended(self, directory: Path, outcome: ExecutionOutcome, now: float) -> list[PoolAction]:
        """Accept an outcome as final."""
        execution = self._running.pop(directory, None)
        if execution is None:
            return []
        job = self._jobs[execution.job]
        if outcome.succeeded:
            self._pace = self._pace.with_run(execution.size, now - execution.started_at)
        report = ReportEnd(execution.submission, outcome=outcome, meta=meta_of(job))
        out_of_memory = outcome.failure is not None and FAILURE_RULES[outcome.failure.kind].grows == "memory"
        return [report, *self.on(job.name, ExecutionEnded(directory, out_of_memory), now)]

    def worker_lost(self, directory: Path, address: str, now: float) -> list[PoolAction]:
        """Record that the worker of an execution cannot be reached any more."""
        execution = self._running.get(directory)
        return [] if execution is None else self.on(execution.job, Disconnected(address), now)

    def arrange(self, now: float) -> list[PoolAction]:
        """Apply time limits, then give executions to jobs, submit jobs, and release others."""
        actions = list(self._overdue(now))
        resting = {size for size, failed in self._failed_starts.items() if not failed.backoff.is_due(now)}
        waiting = {size: tuple(executions.values()) for size, executions in self._waiting.items() if executions}
        made = plan(
            self._jobs.values(),
            waiting,
            self._limits,
            now,
            pace=self._pace,
            paused=resting | self._submissions.paused(now),
            begin_with=self._begin_with,
        )
        self._begin_with = made.go_on_with
        return [*actions, *self._follow(made, now)]

    def _follow(self, made: Plan, now: float) -> Iterator[PoolAction]:
        for execution in made.waiting.values():
            self._waiting[execution.size][execution.directory] = execution
        for directory, name in made.starts:
            job = self._jobs[name]
            execution = self._waiting[job.size].pop(directory).started(name, now)
            self._running[directory] = execution
            self._failed_starts.pop(job.size, None)
            yield from self.on(name, ExecutionStarted(directory, execution.resources), now)
            yield StartExecution(job.address, directory)
        for name in made.needed:
            self._jobs[name] = dataclasses.replace(self._jobs[name], idle_since=now)
        for name in made.too_late:
            yield from self._carried_out(_too_late(self._jobs[name]), self._jobs[name], now)
        for name in made.drain:
            yield from self.on(name, Drain(), now)
        if made.submit is not None and made.submit not in self._rejected:
            name = self._new_name(made.submit)
            self._jobs[name] = Job(name, made.submit, self._scheduler, submitted_at=now, since=now, idle_since=now)
            yield SubmitJob(name, made.submit)

    def _overdue(self, now: float) -> Iterator[PoolAction]:
        """Cancel jobs whose executions ignore their cancellation, and end executions that have waited too long."""
        for execution in list(self._running.values()):
            job = self._jobs.get(execution.job)
            if job is None:  # It has just ended with another execution of its job.
                continue
            if execution.cancelled_at is not None and now - execution.cancelled_at > CANCEL_SECONDS:
                yield from self.on(job.name, CancelRequested(), now)
            elif (
                execution.said is not None and now - execution.said_at > EXPLAIN_SECONDS and job.state is JobState.READY
            ):
                yield from self.ended(execution.directory, execution.said, now)
        for job in self.jobs:
            if job.state is JobState.IN_DOUBT and now - job.since > IN_DOUBT_SECONDS:
                yield from self.on(job.name, DoubtExpired(), now)
        if self._limits.rules.pending_limit:
            yield from self._waiting_for_too_long(self._limits.rules.pending_limit, now)

    def _waiting_for_too_long(self, limit: timedelta, now: float) -> Iterator[PoolAction]:
        for waiting in self._waiting.values():
            for execution in list(waiting.values()):
                if now - execution.submitted_at <= limit.total_seconds():
                    break  # All that follow were submitted later.
                del waiting[execution.directory]
                yield _never_started(execution, termination_of_waiting(self.jobs, self._scheduler, limit))

    def _carried_out(self, action: JobAction, job: Job, now: float) -> list[PoolAction]:
        """Apply an action of a job to the pool, and return the actions that remain for the outside."""
        if isinstance(action, EndExecutions):
            return list(self._ended_with_their_job(action, job))
        if isinstance(action, RejectSize):
            return self._reject(action)
        if isinstance(action, StartFailed):
            return self._failed_to_start(action, now)
        return [action]

    def _ended_with_their_job(self, end: EndExecutions, job: Job) -> Iterable[PoolAction]:
        for directory in end.directories:
            execution = self._running.pop(directory)
            cause = end.cause
            if execution.cancelled_at is not None:
                cause = cause.model_copy(update={"kind": FailureKind.CANCELLED})
            yield ReportEnd(execution.submission, cause=cause, meta=meta_of(job))

    def _reject(self, rejection: RejectSize) -> list[PoolAction]:
        self._rejected.setdefault(rejection.size, rejection.cause)
        waiting = self._waiting.pop(rejection.size, {})
        return [_never_started(execution, rejection.cause) for execution in waiting.values()]

    def _failed_to_start(self, failed: StartFailed, now: float) -> list[PoolAction]:
        starts = self._failed_starts.get(failed.size, FailedStarts()).after(failed, now)
        self._failed_starts[failed.size] = starts
        job = f"{self._scheduler} job {failed.job_id} of {failed.size.label}"
        words = f"{job} ended before running anything: {failed.cause.message}"
        timeout_seconds = self._limits.rules.scheduler_patience.total_seconds()
        cause = starts.cause_to_reject(failed, self._scheduler, now, timeout_seconds)
        return [Warn(words), *(self._reject(RejectSize(failed.size, cause)) if cause else [])]


def _never_started(execution: Execution, cause: Termination) -> ReportEnd:
    return ReportEnd(execution.submission, cause=cause, started=False)


def _too_late(job: Job) -> StartFailed:
    return StartFailed(job.size, job.job_id, STARTED_TOO_LATE, own_fault=True)

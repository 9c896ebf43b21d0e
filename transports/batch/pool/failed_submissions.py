"""Failed submissions: decide what follows for the job, and when a job of that size is submitted again."""

from dataclasses import dataclass

from climate_ref_prefect.transports.batch.pool.job_events import NoAnswer, NotTaken, Refused
from climate_ref_prefect.transports.batch.pool.submit_backoff import SubmitBackoff
from climate_ref_prefect.transports.batch.pool.termination import termination_by_failed_submissions
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SchedulerSilentError,
    SubmissionInDoubtError,
    SubmissionLimitError,
    UnreadAnswerError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Termination


@dataclass(frozen=True)
class FailedSubmission:
    """The consequences of a failed submission."""

    event: Refused | NotTaken | NoAnswer
    """The event for its job."""
    warning: str = ""
    """A warning for the log; empty for none."""
    cause: Termination | None = None
    """Why no job of this size is submitted any more; None while they are."""


class Submissions:
    """
    Counts the consecutive failed submissions for each size of job.

    Parameters
    ----------
    scheduler
        Name of the scheduler, for messages.
    timeout_seconds
        For how long jobs are submitted to a scheduler that does not answer.
    """

    def __init__(self, scheduler: str, timeout_seconds: float) -> None:
        self._scheduler = scheduler
        self._timeout_seconds = timeout_seconds
        self._backoffs: dict[JobSize, SubmitBackoff] = {}

    def paused(self, now: float) -> set[JobSize]:
        """Return the sizes of which no job may be submitted yet."""
        return {size for size, backoff in self._backoffs.items() if not backoff.is_due(now)}

    def succeeded(self, size: JobSize) -> None:
        """Record that the scheduler has accepted a job."""
        self._backoffs.pop(size, None)

    def failed(self, size: JobSize, error: Exception, now: float, *, has_jobs: bool) -> FailedSubmission:
        """
        Record a failed submission and return its consequences.

        Parameters
        ----------
        size
            Size of the job.
        error
            The error.
        now
            Seconds of the monotonic clock.
        has_jobs
            Whether the pool has other jobs, whose end may free a place under a limit.
        """
        if isinstance(error, JobRefusedError):
            return FailedSubmission(Refused(str(error)))
        before = self._backoffs.get(size, SubmitBackoff())
        backoff = self._backoffs[size] = _after(before, error, now, has_jobs=has_jobs)
        event = NotTaken() if _was_not_taken(error) else NoAnswer()
        if backoff.is_exhausted(now, self._timeout_seconds):
            del self._backoffs[size]
            return FailedSubmission(event, cause=termination_by_failed_submissions(self._scheduler, error))
        pause_seconds = backoff.not_before - now
        again = f"{self._scheduler} accepts no job now: {error} The next submission follows in {pause_seconds:.0f} s."
        return FailedSubmission(event, warning="" if before.failures else again)


def _was_not_taken(error: Exception) -> bool:
    """Return whether the scheduler has said so; after an error of any other kind the job may exist."""
    return isinstance(error, SchedulerSilentError) and not isinstance(error, SubmissionInDoubtError)


def _after(before: SubmitBackoff, error: Exception, now: float, *, has_jobs: bool) -> SubmitBackoff:
    if isinstance(error, UnreadAnswerError):
        return before.after_unreadable_answer(now)
    if isinstance(error, SubmissionLimitError):
        return before.after_limit(now, has_jobs=has_jobs)
    return before.after_silence(now)

"""What a failed submission means for its job and for the next submission of that size."""

from dataclasses import dataclass

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.pool.events import NoAnswer, NotTaken, Refused
from climate_ref_prefect.transports.batch.pool.submit_backoff import SubmitBackoff
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SubmissionInDoubtError,
    SubmissionLimitError,
    UnreadAnswerError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Termination


@dataclass(frozen=True)
class FailedSubmission:
    """What becomes of a submission that has failed."""

    event: Refused | NotTaken | NoAnswer
    """What its job hears."""
    warning: str = ""
    """What people are told, if anything."""
    cause: Termination | None = None
    """Why no job of this size is submitted any more; none as long as they are."""


class Submissions:
    """
    The submissions in a row that have failed, by the size of the job.

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
        """Return the sizes of which no job is to be submitted yet."""
        return {size for size, backoff in self._backoffs.items() if not backoff.is_due(now)}

    def succeeded(self, size: JobSize) -> None:
        """Take note of a job that was taken."""
        self._backoffs.pop(size, None)

    def failed(self, size: JobSize, error: Exception, now: float, *, has_jobs: bool) -> FailedSubmission:
        """
        Take note of a submission that has failed.

        Parameters
        ----------
        size
            Of the job.
        error
            Why it has failed.
        now
            Seconds of the monotonic clock.
        has_jobs
            Whether the pool has other jobs, whose end may make room under a limit.
        """
        if isinstance(error, JobRefusedError):
            return FailedSubmission(Refused(str(error)))
        before = self._backoffs.get(size, SubmitBackoff())
        backoff = self._backoffs[size] = _after(before, error, now, has_jobs=has_jobs)
        event = NoAnswer() if isinstance(error, SubmissionInDoubtError) else NotTaken()
        if backoff.is_exhausted(now, self._timeout_seconds):
            del self._backoffs[size]
            message = f"{self._scheduler} takes no job: {error}"
            return FailedSubmission(event, cause=Termination(kind=FailureKind.UNAVAILABLE, message=message))
        pause_seconds = backoff.not_before - now
        again = f"{self._scheduler} takes no job now: {error} The next is submitted in {pause_seconds:.0f} s."
        return FailedSubmission(event, warning="" if before.failures else again)


def _after(before: SubmitBackoff, error: Exception, now: float, *, has_jobs: bool) -> SubmitBackoff:
    if isinstance(error, UnreadAnswerError):
        return before.after_unreadable_answer(now)
    if isinstance(error, SubmissionLimitError):
        return before.after_limit(now, has_jobs=has_jobs)
    return before.after_silence(now)

"""Kinds of refusals of a job: final, at a limit, not now, or in doubt, because it may have been accepted."""

from enum import StrEnum

from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SchedulerSilentError,
    SubmissionInDoubtError,
    SubmissionLimitError,
)


class Refusal(StrEnum):
    """The meaning of a failed submission."""

    NEVER = "never"
    """Known to be final: the same job is refused every time."""
    AT_LIMIT = "at limit"
    """Not now: a limit on the jobs of a user or group is reached, until some of them have ended."""
    NOT_NOW = "not now"
    """Not now, and the scheduler has said itself that there is no job."""
    IN_DOUBT = "in doubt"
    """Not now, and the job may exist, because the answer was lost or its meaning is unknown."""


def error_of(refusal: Refusal, words: str) -> Exception:
    """Return the exception that reports a refusal."""
    if refusal is Refusal.NEVER:
        return JobRefusedError(words)
    if refusal is Refusal.AT_LIMIT:
        return SubmissionLimitError(words)
    return SubmissionInDoubtError(words) if refusal is Refusal.IN_DOUBT else SchedulerSilentError(words)

"""What the words mean in which a scheduler refuses a job: not now, never, or perhaps taken all the same."""

from enum import StrEnum

from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SchedulerSilentError,
    SubmissionInDoubtError,
    SubmissionLimitError,
)


class Refusal(StrEnum):
    """What is to be made of a submission that failed."""

    NEVER = "never"
    """Known to be final: the same job is refused every time."""
    AT_LIMIT = "at limit"
    """Not now: a limit on the jobs of a user or group is reached; it passes when some have ended."""
    NOT_NOW = "not now"
    """Not now, and the scheduler has said itself that there is no job."""
    IN_DOUBT = "in doubt"
    """Not now; the job may be ours already, because the answer was lost or nobody knows what the words mean."""


def error_of(refusal: Refusal, words: str) -> Exception:
    """Return the exception that tells of a refusal."""
    if refusal is Refusal.NEVER:
        return JobRefusedError(words)
    if refusal is Refusal.AT_LIMIT:
        return SubmissionLimitError(words)
    return SubmissionInDoubtError(words) if refusal is Refusal.IN_DOUBT else SchedulerSilentError(words)

"""The one table of what each failure kind of this package is called in REF's database."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from climate_ref_prefect.execution.failure_kinds import FailureKind


class RefFailureReason(StrEnum):
    """The values of REF's `ExecutionFailureReason` that are written here."""

    DIAGNOSTIC_ERROR = "diagnostic_error"
    SYSTEM_ERROR = "system_error"
    RESULT_ERROR = "result_error"
    ABANDONED = "abandoned"
    NOT_STARTED = "not_started"
    CANCELLED = "cancelled"


FAILURE_REASONS: Final[Mapping[FailureKind, RefFailureReason]] = {
    FailureKind.DIAGNOSTIC_ERROR: RefFailureReason.DIAGNOSTIC_ERROR,
    FailureKind.INVALID_RESULT: RefFailureReason.RESULT_ERROR,
    FailureKind.VOCABULARY_MISMATCH: RefFailureReason.RESULT_ERROR,
    FailureKind.PROVIDER_IMPORT: RefFailureReason.SYSTEM_ERROR,
    FailureKind.SCHEMA_MISMATCH: RefFailureReason.SYSTEM_ERROR,
    FailureKind.SUBMISSION_REFUSED: RefFailureReason.NOT_STARTED,
    FailureKind.UNAVAILABLE: RefFailureReason.NOT_STARTED,
    FailureKind.SYSTEM_ERROR: RefFailureReason.SYSTEM_ERROR,
    FailureKind.CRASHED: RefFailureReason.SYSTEM_ERROR,
    FailureKind.KILLED: RefFailureReason.SYSTEM_ERROR,
    FailureKind.OUT_OF_MEMORY: RefFailureReason.SYSTEM_ERROR,
    FailureKind.TIMEOUT: RefFailureReason.SYSTEM_ERROR,
    FailureKind.WORKER_LOST: RefFailureReason.ABANDONED,
    FailureKind.ALREADY_CLAIMED: RefFailureReason.ABANDONED,
    FailureKind.SCRATCH_FULL: RefFailureReason.SYSTEM_ERROR,
    FailureKind.INPUT_CHANGED: RefFailureReason.SYSTEM_ERROR,
    FailureKind.PUBLISH_FAILED: RefFailureReason.RESULT_ERROR,
    FailureKind.COORDINATOR_LOST: RefFailureReason.ABANDONED,
    FailureKind.CANCELLED: RefFailureReason.CANCELLED,
}
"""REF's reason for each kind. The kind itself begins the detail that REF's log of the execution ends with."""


def reason_of(kind: FailureKind | None, *, has_begun: bool) -> RefFailureReason:
    """
    Return REF's reason for a failure.

    Parameters
    ----------
    kind
        Why it failed; None where that is not known.
    has_begun
        Whether a worker has begun with it. What was lost before that is `not_started` for REF.
    """
    reason = FAILURE_REASONS[kind] if kind else RefFailureReason.ABANDONED
    if reason is RefFailureReason.ABANDONED and not has_begun:
        return RefFailureReason.NOT_STARTED
    return reason

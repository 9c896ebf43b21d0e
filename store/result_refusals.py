"""Map errors of publishing and ingesting bundles to the refusal of an execution's results."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from climate_ref_prefect.diagnostics.errors import (
    BadInputError,
    ResultValidationError,
    SchemaMismatchError,
    VocabularyMismatchError,
)
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.store.errors import ResultRefusedError, StoreRefusedError
from climate_ref_prefect.store.publish_results import OutputUnreadableError, PublishError

_NEVER: Final = (
    ResultValidationError,
    PublishError,
    StoreRefusedError,
    SchemaMismatchError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""Errors of results that can never be accepted."""


@contextmanager
def refusals_explained() -> Iterator[None]:
    """
    Turn the errors that are the fault of a result into `ResultRefusedError`, and let all others pass.

    Raises
    ------
    ResultRefusedError
        With `vocabulary_mismatch`, `invalid_result`, or `publish_failed` where another run may do better.
    """
    try:
        yield
    except BadInputError:  # the coordinator's own input: a value error by inheritance alone
        raise
    except VocabularyMismatchError as error:
        raise _refused(FailureKind.VOCABULARY_MISMATCH, error) from error
    except OutputUnreadableError as error:
        raise _refused(FailureKind.PUBLISH_FAILED, error) from error
    except _NEVER as error:
        raise _refused(FailureKind.INVALID_RESULT, error) from error


def require_bundles(finished: FinishedExecution) -> None:
    """Raise `ResultRefusedError` for results in a format of the provider's own: only another recorder knows it."""
    if not finished.outcome.has_bundles:
        raise ResultRefusedError(
            FailureKind.INVALID_RESULT,
            f"{finished.label} has results in a format of its provider's own. This recorder takes only the bundles of "
            "an ExecutionResult.",
        )


def _refused(kind: FailureKind, error: Exception) -> ResultRefusedError:
    return ResultRefusedError(kind, f"{type(error).__name__}: {error}")

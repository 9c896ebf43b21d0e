"""The outcome of an execution that has ended according to its backend."""

import threading
from contextlib import suppress

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_memory_use
from climate_ref_prefect.execution.worker.supervisor_process import refuse_unreadable
from climate_ref_prefect.transports.port import Ended, Submission, Termination, Transport


def settle(
    transport: Transport, execution: ExecutionDirectory, ended: Ended, patience_seconds: float, closing: threading.Event
) -> ExecutionOutcome:
    """
    Return the outcome of an execution that has ended according to the backend.

    The outcome file counts. If neither it nor the backend gives an outcome in time, or before the transport is
    closed, it is made from the transport's explanation and the last telemetry.
    """
    outcome = ended.outcome
    try:
        if lacks_outcome(ended):
            outcome = execution.read_outcome(patience_seconds, closing.wait) or outcome
        if outcome is None:
            return _with_meta(_explain(transport, execution, ended.submission), ended)
        if _backend_knows_why(outcome):
            outcome = _in_the_backends_words(outcome, transport.explain(ended.submission))
    except (OSError, UnreadableDocumentError) as error:
        outcome = refuse_unreadable(error)
    with suppress(OSError, UnreadableDocumentError):  # If it cannot be read, the outcome says so.
        outcome = outcome.model_copy(update={"execution_id": execution.read_envelope().execution_id})
    return _with_meta(outcome, ended)


def lacks_outcome(ended: Ended) -> bool:
    """Whether the outcome is still to be read from its file: there is none, or only that another worker has it."""
    failure = None if ended.outcome is None else ended.outcome.failure
    return ended.outcome is None or (failure is not None and FAILURE_RULES[failure.kind].may_still_run)


def _backend_knows_why(outcome: ExecutionOutcome) -> bool:
    return outcome.failure is not None and FAILURE_RULES[outcome.failure.kind].backend_knows_why


def _in_the_backends_words(outcome: ExecutionOutcome, death: Termination | None) -> ExecutionOutcome:
    """Replace the worker's own message, that it was asked to end, by the reason that the backend gives."""
    if death is None or outcome.failure is None:
        return outcome
    failure = ExecutionFailure(kind=death.kind, message=death.message, details=outcome.failure.message)
    return outcome.model_copy(update={"failure": failure})


def _with_meta(outcome: ExecutionOutcome, ended: Ended) -> ExecutionOutcome:
    if not ended.meta:
        return outcome
    meta = {**outcome.telemetry.transport_meta, **ended.meta}
    return outcome.model_copy(update={"telemetry": outcome.telemetry.model_copy(update={"transport_meta": meta})})


def _explain(transport: Transport, execution: ExecutionDirectory, submission: Submission) -> ExecutionOutcome:
    death = transport.explain(submission)
    if death is None:
        return failed(execution, FailureKind.WORKER_LOST, "It ended without an outcome; the reason is not known.")
    return failed(execution, death.kind, death.message, meta=dict(death.meta))


def failed(
    execution: ExecutionDirectory, kind: FailureKind, message: str, meta: dict[str, object] | None = None
) -> ExecutionOutcome:
    """Return the outcome of an execution that left none, with its last telemetry."""
    failure, telemetry, execution_id = ExecutionFailure(kind=kind, message=message), execution.last_telemetry(), 0
    with suppress(OSError, UnreadableDocumentError):  # It has ended even if its envelope cannot be read.
        envelope = execution.read_envelope()
        execution_id = envelope.execution_id
        failure = failure_from_memory_use(
            failure, peak_rss_mb=telemetry.peak_rss_mb, memory_mb=envelope.resources.memory_mb
        )
    telemetry = telemetry.model_copy(update={"transport_meta": {**telemetry.transport_meta, **(meta or {})}})
    return ExecutionOutcome(execution_id=execution_id, failure=failure, telemetry=telemetry)

"""The supervisor process of one execution: it claims the execution, supervises the child and writes the outcome."""

import socket

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import become_subreaper
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.execution.worker.child_process import Start
from climate_ref_prefect.execution.worker.child_supervision import ChildSupervision
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception
from climate_ref_prefect.execution.worker.scratch_full_detection import ScratchFullDetector, unwritable_scratch


def supervise(directory: ExecutionDirectory, caller: socket.socket, start: Start) -> ExecutionOutcome:
    """
    Claim and run one execution. Returns its outcome, which has then been written.

    Parameters
    ----------
    directory
        The execution's directory, which holds its envelope.
    caller
        The socket to the caller, which may send "cancel". Its end means that the caller is gone.
    start
        How the child is started.
    """
    envelope = directory.read_envelope()
    refused = claim_or_refuse(directory, envelope)
    if refused is not None:
        return refused
    become_subreaper()
    supervision = ChildSupervision(directory, envelope, caller)
    return _leave(directory, supervision.run(start), supervision.space)


def claim_or_refuse(directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> ExecutionOutcome | None:
    """Claim an execution. If it must not run here, return the outcome that says why."""
    if not directory.claim(Claim.of_this_process()):
        return refuse(envelope, FailureKind.ALREADY_CLAIMED, "Another worker has claimed this execution.")
    if directory.is_closed():
        return refuse(envelope, FailureKind.CANCELLED, "The coordinator had given this attempt up before it began.")
    return None


def _leave(directory: ExecutionDirectory, outcome: ExecutionOutcome, space: ScratchFullDetector) -> ExecutionOutcome:
    """Write the outcome. A success that cannot be written becomes a failure."""
    try:
        directory.write_outcome(outcome)
    except OSError as error:
        space.record_error(error)
        failure = outcome.failure or space.classify(failure_from_exception(error))
        return outcome.model_copy(update={"failure": failure, "manifest": ()})
    return outcome


def refuse(envelope: ExecutionEnvelope, kind: FailureKind, message: str) -> ExecutionOutcome:
    """Return the outcome of an execution that does not start, or whose worker was lost."""
    return ExecutionOutcome(execution_id=envelope.execution_id, failure=ExecutionFailure(kind=kind, message=message))


def refuse_unreadable(error: Exception) -> ExecutionOutcome:
    """Return the outcome of an execution whose documents cannot be read or written. The caller sets its id."""
    if isinstance(error, OSError):
        failure = unwritable_scratch(error, "The worker could not read or write the files of the execution")
    else:
        kind = FailureKind.SCHEMA_MISMATCH if isinstance(error, SchemaMismatchError) else FailureKind.SYSTEM_ERROR
        failure = ExecutionFailure(kind=kind, message=str(error))
    return ExecutionOutcome(execution_id=0, failure=failure)

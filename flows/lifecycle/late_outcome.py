"""Read the late outcome of an execution whose coordinator has died, so that it goes through the remaining phases."""

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.flows.lifecycle.attempt_state import Attempt
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.port import UnfinishedExecution, address_of


def attempt_with_outcome(
    workspace: Workspace, execution: UnfinishedExecution, timeout_seconds: float = 0.0
) -> Attempt | None:
    """
    Return the attempt of an execution that has left an outcome; None without one, or if it was given up.

    Parameters
    ----------
    workspace
        Whose execution it is.
    execution
        What is recorded of it.
    timeout_seconds
        For how long the outcome is waited for.
    """
    directory = ExecutionDirectory(workspace.scratch / execution.fragment)
    try:
        outcome = directory.read_outcome(timeout_seconds)
        if outcome is None or directory.is_closed():
            return None
        envelope = envelope_of(execution, directory)
    except (UnreadableDocumentError, FileNotFoundError):  # an outcome that cannot be read counts as missing
        return None
    counts = workspace.recorder.attempt_counts([envelope.definition])[address_of(envelope.definition)]
    attempt = Attempt(execution, workspace, counts)
    attempt.envelope, attempt.outcome = envelope, outcome
    return attempt


def envelope_of(execution: UnfinishedExecution, directory: ExecutionDirectory) -> ExecutionEnvelope:
    """
    Return the envelope of an execution from its directory.

    Raises
    ------
    FileNotFoundError
        If there is none.
    UnreadableDocumentError
        If it cannot be read, or is that of another execution, whose results would be recorded in its place.
    """
    envelope = directory.read_envelope()
    if (envelope.execution_id, envelope.fragment) != (execution.execution_id, execution.fragment):
        path = directory.path / "envelope.json"
        raise UnreadableDocumentError(
            f"{path} is that of execution {envelope.execution_id} in {envelope.fragment}.", path
        )
    return envelope

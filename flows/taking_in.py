"""Takes in what an execution left behind whose coordinator had died: from its outcome to the last word."""

from typing import Final

from prefect import Task

from climate_ref_prefect.diagnostics.errors import (
    BadInputError,
    ResultValidationError,
    SchemaMismatchError,
    UnreadableDocumentError,
    VocabularyMismatchError,
)
from climate_ref_prefect.diagnostics.failure_kinds import FailureKind
from climate_ref_prefect.flows import phases
from climate_ref_prefect.flows.attempt import Attempt
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.store.errors import StoreRefusedError
from climate_ref_prefect.store.port import AllocatedExecution, UnfinishedExecution, address_of
from climate_ref_prefect.store.publish_results import OutputUnreadableError, PublishError
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory

_NEVER: Final = (
    ResultValidationError,
    PublishError,
    StoreRefusedError,
    SchemaMismatchError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""What publish and ingest raise where a result can never be taken, however often it is tried."""
_PERHAPS: Final = (OutputUnreadableError, OSError, MemoryError)
"""What they raise where the same result, or that of another run, may be taken another time."""


def kind_of_refusal(error: BaseException) -> FailureKind | None:
    """Return what it means for an execution that its result could not be published or ingested; none if nothing."""
    if isinstance(error, VocabularyMismatchError):
        return FailureKind.VOCABULARY_MISMATCH
    if isinstance(error, BadInputError):  # of the coordinator's: a value error by inheritance alone
        return None
    if isinstance(error, _NEVER):
        return FailureKind.INVALID_RESULT
    return FailureKind.PUBLISH_FAILED if isinstance(error, _PERHAPS) else None


def attempt_with_outcome(
    workspace: Workspace, execution: UnfinishedExecution, patience_seconds: float = 0.0
) -> Attempt | None:
    """Return an attempt that has left an outcome nobody has looked at; none if it has not, or was given up."""
    directory = ExecutionDirectory(workspace.scratch / execution.fragment)
    try:
        outcome = directory.read_outcome(patience_seconds)
        if outcome is None or directory.is_closed():
            return None
        envelope = directory.read_envelope()
    except (UnreadableDocumentError, FileNotFoundError):  # what cannot be read is run again
        return None
    history = workspace.store.histories([envelope.definition])[address_of(envelope.definition)]
    allocated = AllocatedExecution(
        execution_id=execution.execution_id,
        fragment=execution.fragment,
        definition=envelope.definition,
        resources=envelope.resources,
        attempt=execution.attempt,
    )
    attempt = Attempt(allocated, envelope.provider, history.counts, workspace.scratch, workspace.results)
    attempt.envelope, attempt.outcome = envelope, outcome
    return attempt


def take_in(attempt: Attempt, workspace: Workspace, transport: Transport, ledger: Ledger) -> None:
    """Classify, publish, ingest and finalise; another attempt, if there is to be one, is for the plan that follows."""

    def call(phase: Task[..., None], **parameters: object) -> None:
        try:
            phase(label=attempt.label, attempt=attempt, **parameters)
        finally:
            ledger.count()

    definition = attempt.allocated.definition
    policy = workspace.policies.of(definition.provider, definition.diagnostic)
    call(phases.classify, policy=policy, transport=transport)
    if attempt.verdict is not None and attempt.verdict.succeeded:
        try:
            call(phases.publish, workspace=workspace)
            call(phases.ingest, workspace=workspace)
        except Exception as error:
            kind = kind_of_refusal(error)
            if kind is None:
                raise
            attempt.fail(kind, f"{type(error).__name__}: {error}")
            call(phases.classify, policy=policy, transport=transport)
    call(phases.finalise, workspace=workspace)

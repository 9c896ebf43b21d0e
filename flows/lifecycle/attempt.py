"""The state of one attempt on its way through the phases."""

from contextlib import suppress
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, Telemetry
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.retry.retry_policy import Classification, RetryPolicy
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.port import AllocatedExecution, AttemptCounts, Finalisation, UnfinishedExecution


class Attempt:
    """
    The state of one attempt, which each phase reads and changes.

    Deliberately not a pydantic model or dataclass, because Prefect searches those for futures at each task call.

    Parameters
    ----------
    record
        What the recorder says of it: it has just been allocated, or another coordinator has left it unfinished.
    workspace
        Where it runs and where its results go.
    counts
        How often its group has been tried before.
    provider
        How a worker finds the provider; none where the attempt is not to be dispatched any more.
    previous_failure
        How the attempt before it failed, where that is why there is another.
    """

    def __init__(
        self,
        record: AllocatedExecution | UnfinishedExecution,
        workspace: Workspace,
        counts: AttemptCounts,
        provider: ProviderReference | None = None,
        previous_failure: FailureKind | None = None,
    ) -> None:
        self.record = record
        self.workspace = workspace
        self.counts = counts
        self.files = ExecutionDirectory(workspace.scratch / record.fragment)
        self._provider = provider
        self._previous_failure = previous_failure
        # What the phases find out, each in its turn; `phases.next_phase` tells by it what comes next.
        self.envelope: ExecutionEnvelope | None = None
        self.outcome: ExecutionOutcome | None = None
        self.verdict: Classification | None = None
        self.is_published = False
        self.results_path: Path | None = None
        """Where the results lie that were published; none where the recorder publishes nothing."""
        self.is_ingested = False
        self.is_finalised = False

    @property
    def execution_id(self) -> int:
        """Number of the execution row."""
        return self.record.execution_id

    @property
    def group_label(self) -> str:
        """Name of the group for people: provider, diagnostic and key."""
        return "/".join(self.record.address)

    @property
    def label(self) -> str:
        """Name for people: group and execution."""
        return f"{self.group_label} #{self.execution_id}"

    @property
    def run_label(self) -> str:
        """Name of its `run` task run: of another attempt it says why there is one, and at what size."""
        if self._previous_failure is None:
            return self.label
        title, granted = FAILURE_RULES[self._previous_failure].title, self.resources
        size = f"{granted.memory_mb} MiB, {granted.wall_clock}"
        return f"{self.label}, attempt {self.counts.attempts + 1} after {title}: {size}"

    @property
    def directory(self) -> Path:
        """Directory in which it runs."""
        return self.files.path

    @property
    def definition(self) -> ExecutionDefinition:
        """What it is about; not known of an attempt that was left without an envelope."""
        if isinstance(self.record, AllocatedExecution):
            return self.record.definition
        assert self.envelope is not None  # noqa: S101 - whoever asks has read it
        return self.envelope.definition

    @property
    def is_left_over(self) -> bool:
        """Whether a coordinator that has died has left it: another attempt is for the plan that follows."""
        return isinstance(self.record, UnfinishedExecution)

    @property
    def output_directory(self) -> Path | None:
        """Where the recorder wants the diagnostic to write; none for the usual place."""
        return self.record.output_directory if isinstance(self.record, AllocatedExecution) else None

    @property
    def provider(self) -> ProviderReference:
        """How a worker finds the provider."""
        if self.envelope is not None:
            return self.envelope.provider
        assert self._provider is not None  # noqa: S101 - it is known of whatever is to be dispatched
        return self._provider

    @property
    def policy(self) -> RetryPolicy:
        """What decides on its failure."""
        return self.workspace.policy_of(self.record.address)

    @property
    def resources(self) -> ResourceHint:
        """The granted resources once it has been dispatched; before that, the requested ones."""
        return self.envelope.resources if self.envelope else self.record.resources

    @property
    def finished(self) -> FinishedExecution:
        """What the recorder is given of a success."""
        assert self.envelope is not None  # noqa: S101 - it has run
        assert self.outcome is not None  # noqa: S101 - the same
        return FinishedExecution(envelope=self.envelope, outcome=self.outcome, directory=self.directory)

    @property
    def failure_kind(self) -> FailureKind | None:
        """Why it has failed; None for a success or without an outcome."""
        failure = self.outcome.failure if self.outcome else None
        return failure.kind if failure else None

    def has_result(self) -> bool:
        """Whether it has run and left a result, read or not."""
        outcome = self.outcome
        if outcome is None:
            # An unreadable outcome counts as missing. The execution is run again.
            with suppress(OSError, UnreadableDocumentError):
                outcome = self.files.read_outcome()
        return outcome is not None and outcome.succeeded

    def may_run(self) -> bool:
        """Whether a worker has begun with it and its end is not known; also where its scratch cannot be read."""
        try:
            return self.outcome is None and self.files.last_sign_of_life() is not None
        except OSError:
            return True

    def fail(self, kind: FailureKind, message: str) -> None:
        """Replace the outcome by a failure of the coordinator's making, keeping the telemetry; to be classified."""
        before = self.outcome or ExecutionOutcome(execution_id=self.execution_id, telemetry=self._last_telemetry())
        failure = ExecutionFailure(kind=kind, message=message)
        self.outcome = before.model_copy(update={"failure": failure, "manifest": ()})
        self.verdict = None

    def _last_telemetry(self) -> Telemetry:
        """Return what is known of its use of resources while it runs, or ran; nothing before it was dispatched."""
        return Telemetry() if self.envelope is None else self.files.last_telemetry()

    def finalisation(self) -> Finalisation:
        """Return what is recorded of it once it has been classified."""
        assert self.verdict is not None  # noqa: S101 - the classify phase has set it
        verdict, outcome = self.verdict, self.outcome
        failure = outcome.failure if outcome else None
        if failure is not None and verdict.reason:
            failure = failure.model_copy(update={"message": f"{failure.message} ({verdict.reason})"})
        return Finalisation(
            successful=verdict.succeeded,
            retryable=verdict.retryable,
            counted=verdict.counts,
            failure=failure,
            telemetry=outcome.telemetry if outcome else Telemetry(),
            clears_dirty=verdict.clears_dirty,
            results_path=str(self.results_path) if self.results_path else None,
            another_follows=verdict.decision is Decision.RETRY and not self.is_left_over,
        )


def next_attempt(attempt: Attempt, verdict: Classification) -> PlannedExecution:
    """Return the attempt that follows a failed one, with the grown resources."""
    return PlannedExecution(
        definition=attempt.definition,
        provider=attempt.provider,
        resources=verdict.resources,
        granted=verdict.resources,
        counts=attempt.counts.after(attempt.failure_kind, counts=verdict.counts),
        replaces=attempt.execution_id,
        previous_failure=attempt.failure_kind,
    )

"""One attempt on its way through the phases."""

from contextlib import suppress
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope, ProviderReference
from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, ExecutionOutcome, FailureKind
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.flows.plan import PlannedExecution
from climate_ref_prefect.flows.policy import RULES, Fault, Standing, Verdict
from climate_ref_prefect.store.values import AllocatedExecution
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory


class Attempt:
    """
    What the phases know of one attempt, and hand on from one to the next.

    Deliberately no pydantic model or dataclass: Prefect looks into those for futures, at each task call anew.
    """

    def __init__(
        self,
        allocated: AllocatedExecution,
        provider: ProviderReference,
        standing: Standing,
        scratch: Path,
        results: Path,
    ) -> None:
        self.allocated = allocated
        self.provider = provider
        self.standing = standing
        self.files = ExecutionDirectory(scratch / allocated.fragment)
        self.target = results / allocated.fragment
        self.envelope: ExecutionEnvelope | None = None
        self.outcome: ExecutionOutcome | None = None
        self.verdict: Verdict | None = None
        self.published = False

    @property
    def execution_id(self) -> int:
        """Number of the execution row."""
        return self.allocated.execution_id

    @property
    def label(self) -> str:
        """Name for people: group and execution."""
        return f"{self.allocated.definition.label} #{self.execution_id}"

    @property
    def directory(self) -> Path:
        """Where it runs."""
        return self.files.path

    @property
    def resources(self) -> ResourceHint:
        """What it was given once it has been dispatched, before that what it asks for."""
        return self.envelope.resources if self.envelope else self.allocated.resources

    @property
    def failure_kind(self) -> FailureKind | None:
        """Why it has failed; none where it has not, or has no outcome yet."""
        failure = self.outcome.failure if self.outcome else None
        return failure.kind if failure else None

    def has_result(self) -> bool:
        """Whether it has run and left a result, taken in or not."""
        outcome = self.outcome
        if outcome is None:
            with suppress(OSError, UnreadableDocumentError):  # what cannot be read is run again
                outcome = self.files.read_outcome()
        return outcome is not None and outcome.succeeded

    def may_run(self) -> bool:
        """Whether a worker has begun with it and its end is not known; also where its scratch cannot be read."""
        try:
            return self.outcome is None and self.files.last_sign_of_life() is not None
        except OSError:
            return True

    def fail(self, kind: FailureKind, message: str, details: str = "") -> None:
        """Replace the outcome by a failure of the coordinator's making, keeping the telemetry."""
        failure = ExecutionFailure(kind=kind, message=message, details=details)
        before = self.outcome or ExecutionOutcome(execution_id=self.execution_id)
        self.outcome = before.model_copy(update={"failure": failure, "manifest": ()})


def attempt_after(attempt: Attempt, verdict: Verdict) -> PlannedExecution:
    """Return the attempt that follows one that has failed, with what it has taught."""
    was_lost = attempt.failure_kind is not None and RULES[attempt.failure_kind].fault is Fault.PLACE
    standing = Standing(
        attempts=attempt.standing.attempts + 1,
        counted=attempt.standing.counted + int(verdict.counts),
        lost=attempt.standing.lost + int(was_lost),
    )
    return PlannedExecution(
        definition=attempt.allocated.definition,
        provider=attempt.provider,
        resources=verdict.resources,
        granted=verdict.resources,
        standing=standing,
        replaces=attempt.execution_id,
    )

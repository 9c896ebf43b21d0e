"""What the adapters share: a frozen model of settings, with the state of an open transport beside it."""

from pydantic import Field

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope, WorkerLimits
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, ExecutionOutcome, FailureKind
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.port import Death, Submission


class TransportModel(FrozenModel):
    """Settings that every transport has; a subclass adds a `kind` that names it."""

    limits: WorkerLimits = WorkerLimits()
    """What the worker holds an execution to."""

    outcome_patience_seconds: float = Field(default=0.0, ge=0)
    """How late an outcome file may show after the end of an execution."""

    @property
    def name(self) -> str:
        """Short name, recorded with each execution."""
        return str(getattr(self, "kind", type(self).__name__))

    def check(self, resources: ResourceHint) -> ResourceHint:
        """Return what an execution is given: by default what it asks for."""
        return resources

    def explain(self, submission: Submission) -> Death | None:
        """Return why the backend ended it: by default nothing is known."""
        return None


def never_ran(envelope: ExecutionEnvelope, kind: FailureKind, message: str) -> ExecutionOutcome:
    """Return the outcome of an execution that was ended before it began."""
    return ExecutionOutcome(execution_id=envelope.execution_id, failure=ExecutionFailure(kind=kind, message=message))

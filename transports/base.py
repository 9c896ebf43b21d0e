"""What the adapters share: a frozen model of settings, with the state of an open transport beside it."""

from pathlib import Path
from typing import Self

from pydantic import Field

from climate_ref_prefect.diagnostics.definition import WorkerLimits
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome, FailureKind
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.port import Death, Submission
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.supervisor import refuse, refuse_unreadable


class TransportModel(FrozenModel):
    """Settings that every transport has; a subclass adds a `kind` that names it."""

    limits: WorkerLimits = WorkerLimits()
    """What the worker holds an execution to."""

    outcome_patience_seconds: float = Field(default=0.0, ge=0)
    """How late an outcome file may show after the end of an execution."""

    def unopened(self) -> Self:
        """Return another one with the same settings, whatever this one has open."""
        return self.model_validate({name: getattr(self, name) for name in self.model_fields_set})

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

    def is_over(self, directory: Path) -> bool | None:
        """Return whether another coordinator's execution has ended: by default its claim has to tell."""
        return None


def cancelled_early(directory: Path) -> ExecutionOutcome:
    """Return the outcome of an execution that was cancelled before it began."""
    return ended_early(directory, FailureKind.CANCELLED, "Cancelled before it had started.")


def ended_early(directory: Path, kind: FailureKind, message: str) -> ExecutionOutcome:
    """Return the outcome of an execution that never began: no file of it is waited for."""
    try:
        envelope = ExecutionDirectory(directory).read_envelope()
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        return refuse_unreadable(error)
    return refuse(envelope, kind, message)

"""The base class of transports: a frozen model of settings, and the state of the open transport."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.execution.worker.supervisor_process import refuse, refuse_unreadable
from climate_ref_prefect.transports.doctor_finding import Finding, note
from climate_ref_prefect.transports.port import Ended, Submission, Termination, Traits


class TransportModel(FrozenModel):
    """
    Settings that every transport has, and defaults for the optional methods of the port.

    A subclass adds a `kind: Literal["name"] = "name"`, which is the name of its entry point, too, and implements
    `slots`, `submit`, `wait`, `cancel` and `close` of the port.
    """

    traits: ClassVar[Traits] = Traits()
    """What transports of this kind support; a subclass sets its own."""

    limits: WorkerLimits = WorkerLimits()
    """The limits that the worker enforces on an execution."""

    outcome_patience_seconds: float = Field(default=0.0, ge=0)
    """How late an outcome file may become visible after the end of an execution."""

    def unopened(self) -> Self:
        """Return another one with the same settings, whatever this one has open."""
        return self.model_validate({name: getattr(self, name) for name in self.model_fields_set})

    @property
    def name(self) -> str:
        """Short name, recorded with each execution."""
        return str(getattr(self, "kind", type(self).__name__))

    def submission_of(self, directory: Path) -> Submission:
        """Return the handle on an execution that is submitted here."""
        return Submission(transport=self.name, directory=directory.absolute())

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many submissions this transport can make use of at once, running or ready to start."""

    @abstractmethod
    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Take an execution whose envelope lies in `directory`; return without waiting for it to start."""

    @abstractmethod
    def wait(self, timeout_seconds: float) -> Sequence[Ended]:
        """Return what has ended since the last call, waiting up to `timeout_seconds` for the first."""

    @abstractmethod
    def cancel(self, submission: Submission) -> None:
        """Have an execution stopped, or keep it from starting; `wait` tells when it is over."""

    @abstractmethod
    def close(self, timeout_seconds: float) -> None:
        """Stop all executions and leave no process or job behind; safe to repeat."""

    def check(self, resources: ResourceHint) -> ResourceHint:
        """Return the resources that an execution is granted: by default those that it requests."""
        return resources

    def new_starts(self) -> Sequence[Path]:
        """Return what has started: by default nothing, because the claims of executions are looked for instead."""
        return ()

    def explain(self, submission: Submission) -> Termination | None:
        """Return why the backend ended it: by default None, because nothing is known."""
        return None

    def is_over(self, directory: Path) -> bool | None:
        """Return whether another coordinator's execution has ended: by default None, so that its claim decides."""
        return None

    def open(self, owner: str) -> None:
        """Receive the identity of the store. By default does nothing, because no job waits for a lost coordinator."""

    def take_servers(self, servers: ServerPool) -> None:
        """Close the provider servers of planning, because by default no execution is started from them."""
        servers.close()

    def render(self, resources: ResourceHint) -> str:
        """Raise `BadInputError`, because by default a transport has no job scripts."""
        raise BadInputError(f"The transport {self.name!r} has no job scripts.")

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """Yield a note that this transport has no checks, which is the default."""
        yield note(f"The transport `{self.name}` has no checks of its own.")


def cancelled_early(directory: Path) -> ExecutionOutcome:
    """Return the outcome of an execution that was cancelled before it began."""
    return ended_early(directory, FailureKind.CANCELLED, "Cancelled before it had started.")


def ended_early(directory: Path, kind: FailureKind, message: str) -> ExecutionOutcome:
    """Return the outcome of an execution that never started, so that no file of it has to be awaited."""
    try:
        envelope = ExecutionDirectory(directory).read_envelope()
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        return refuse_unreadable(error)
    return refuse(envelope, kind, message)

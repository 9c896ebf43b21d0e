"""The port between the lifecycle and whatever runs executions; nothing here knows an engine or a scheduler."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from pydantic import Field, JsonValue

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.transports.doctor_finding import Finding


class ResourcesRefusedError(BadInputError):
    """No place of this size can be had here; says why, and what would fit."""


class SubmissionError(ClimateRefPrefectError):
    """
    The backend did not take an execution.

    Parameters
    ----------
    message
        The backend's own words, fit for people.
    transient
        Whether the same submission may be taken later.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class Submission(FrozenModel):
    """A handle on what was submitted: plain JSON, so that it can be kept."""

    transport: str
    directory: Path


class Termination(FrozenModel):
    """Why the backend ended an execution, in its own words."""

    kind: FailureKind
    message: str
    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Goes to the telemetry: job id, node, the scheduler's state."""


class Ended(FrozenModel):
    """A submission that is over, as the backend says."""

    submission: Submission
    outcome: ExecutionOutcome | None = None
    """Where the backend could bring it back; the file is the truth where it could not."""

    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """What the backend adds to the telemetry: job id, node, queue wait."""


class Traits(FrozenModel):
    """
    What is to be known of a kind of transport before one of it is made or asked.

    Everything outside an adapter decides by these, never by the name or the class of a transport. The defaults are
    right for a transport of which nothing is known.
    """

    fields_in_forms: bool = False
    """Whether a form of Prefect's UI may set its fields: only where none of them is an operator's trusted text."""

    usable_by_name: bool = False
    """Whether its name says enough, in the command's `--transport`; otherwise a site profile has to describe it."""

    may_outlive_coordinator: bool = True
    """Whether what it runs may go on when the coordinator's process has ended, so that nobody may call it dead."""

    renders_jobs: bool = False
    """Whether `render` returns what would be submitted."""


@runtime_checkable
class Transport(Protocol):
    """
    A place where executions run.

    A transport only translates: it holds no lifecycle. Whatever ends, however it ends, `wait` says so once.
    `TransportModel` has a default for everything but `slots`, `submit`, `wait`, `cancel` and `close`.
    """

    @property
    def name(self) -> str:
        """Short name, recorded with each execution: the one by which its kind is registered."""
        ...

    @property
    def traits(self) -> Traits:
        """What it can, the same for all transports of its kind."""
        ...

    @property
    def limits(self) -> WorkerLimits:
        """What the worker holds an execution to here."""
        ...

    @property
    def slots(self) -> int:
        """How many submissions it pays to have here at once, running or ready to start."""
        ...

    @property
    def outcome_patience_seconds(self) -> float:
        """How late an outcome file may show after the end: 0 on a local disk, 90 on shared file systems."""
        ...

    def check(self, resources: ResourceHint) -> ResourceHint:
        """
        Return what an execution that asks for `resources` is given here.

        Raises
        ------
        ResourcesRefusedError
            Before anything starts, if no place here fits.
        """
        ...

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """
        Take an execution whose envelope lies in `directory`; returns without waiting for it to start.

        Raises
        ------
        SubmissionError
            If the backend refuses.
        """
        ...

    def wait(self, timeout_seconds: float) -> Sequence[Ended]:
        """Return what has ended since the last call, in any order; wait up to `timeout_seconds` for the first."""
        ...

    def cancel(self, submission: Submission) -> None:
        """Have it stopped, whether it runs or not yet; `wait` tells when it is over. Unknown ones are ignored."""
        ...

    def explain(self, submission: Submission) -> Termination | None:
        """Return why the backend ended it, where it knows."""
        ...

    def is_over(self, directory: Path) -> bool | None:
        """
        Return whether an execution has ended that is not followed any more; none if this cannot tell.

        Another coordinator has submitted it, or this one, and has closed the transport since.
        """
        ...

    def close(self, timeout_seconds: float) -> None:
        """Stop what runs and leave nothing behind: no process, no job. Safe to repeat."""
        ...

    def unopened(self) -> Self:
        """Return another transport with the same settings, whatever this one has open: each flow gets its own."""
        ...

    def open(self, owner: str) -> None:
        """
        Take note of the store for which executions are run from now on; returns at once.

        Whoever calls this holds the lease of that store, so what an earlier coordinator of it has submitted and what
        has not started yet is withdrawn.

        Parameters
        ----------
        owner
            Identity of the store.
        """
        ...

    def take_servers(self, servers: ServerPool) -> None:
        """Run executions from the providers' servers that planning has started, or else close them."""
        ...

    def render(self, resources: ResourceHint) -> str:
        """
        Return what would be submitted for an execution, for people to read; submits nothing.

        Raises
        ------
        ResourcesRefusedError
            As `check` does.
        BadInputError
            If there is nothing to show: `Traits.renders_jobs` says so before.
        """
        ...

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """
        Look at what a run needs here, one thing after another, for `doctor`; leave nothing behind once it is closed.

        Parameters
        ----------
        providers
            Must be importable where executions run.
        scratch
            Directory below which executions will run.
        wait_seconds
            How long something may take to start.
        """
        ...

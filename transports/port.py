"""The port between the lifecycle and the backends that run executions. It knows no engine or scheduler."""

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
    """The transport cannot grant these resources. The message says why, and what would fit."""


class SubmissionError(ClimateRefPrefectError):
    """
    The backend did not accept an execution.

    Parameters
    ----------
    message
        The backend's own words.
    transient
        Whether the same submission may be accepted later.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class Submission(FrozenModel):
    """A submitted execution."""

    transport: str
    directory: Path


class Termination(FrozenModel):
    """Why the backend ended an execution, in its own words."""

    kind: FailureKind
    message: str
    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Information for the telemetry: job id, node, the scheduler's state."""


class Ended(FrozenModel):
    """A submission that has ended, according to the backend."""

    submission: Submission
    outcome: ExecutionOutcome | None = None
    """The outcome, if the backend returned it; otherwise the outcome file counts."""

    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Information that the backend adds to the telemetry: job id, node, queue wait."""


class Traits(FrozenModel):
    """
    Properties of a kind of transport that must be known before one is made.

    Everything outside an adapter decides by these, never by the name or the class of a transport. The defaults are
    safe for a transport of which nothing is known.
    """

    fields_in_forms: bool = False
    """Whether a form of Prefect's UI may set its fields, which is safe only if none is an operator's trusted text."""

    usable_by_name: bool = False
    """Whether `--transport` accepts its name; otherwise a site profile has to describe it."""

    may_outlive_coordinator: bool = True
    """Whether its executions may go on after the coordinator's process has ended, so that they may not be dead."""

    renders_jobs: bool = False
    """Whether `render` returns what would be submitted."""

    reports_starts: bool = False
    """Whether `new_starts` reports what has started. Otherwise the claims of executions are looked for."""


@runtime_checkable
class Transport(Protocol):
    """
    A backend that runs executions.

    A transport only translates and knows no lifecycle. `wait` reports each end exactly once, whatever its cause.
    `TransportModel` has a default for everything but `slots`, `submit`, `wait`, `cancel` and `close`.
    """

    @property
    def name(self) -> str:
        """Short name under which its kind is registered, recorded with each execution."""
        ...

    @property
    def traits(self) -> Traits:
        """Its properties, the same for all transports of its kind."""
        ...

    @property
    def limits(self) -> WorkerLimits:
        """The limits that the worker enforces on an execution."""
        ...

    @property
    def slots(self) -> int:
        """How many submissions this transport can make use of at once, running or ready to start."""
        ...

    @property
    def outcome_patience_seconds(self) -> float:
        """How late an outcome file may become visible after the end: 0 on a local disk, 90 on shared file systems."""
        ...

    def check(self, resources: ResourceHint) -> ResourceHint:
        """
        Return the resources that are granted to an execution that requests `resources`.

        Raises
        ------
        ResourcesRefusedError
            If they cannot be granted. Nothing has been started then.
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
        """Return executions that have ended since the last call, and wait up to `timeout_seconds` for the first."""
        ...

    def new_starts(self) -> Sequence[Path]:
        """
        Return the directories of executions that workers have begun with since the last call, without waiting.

        It is called after each `wait`, and only if `Traits.reports_starts` is true.
        """
        ...

    def cancel(self, submission: Submission) -> None:
        """Stop an execution, whether it runs or waits; `wait` reports its end. An unknown one is ignored."""
        ...

    def explain(self, submission: Submission) -> Termination | None:
        """Return why the backend ended it, or None if that is unknown."""
        ...

    def is_over(self, directory: Path) -> bool | None:
        """
        Return whether an execution has ended that is not followed any more; None if that is unknown.

        It was submitted by another coordinator, or by this one before it closed the transport.
        """
        ...

    def close(self, timeout_seconds: float) -> None:
        """Stop all executions and leave no process or job behind. Safe to repeat."""
        ...

    def unopened(self) -> Self:
        """Return an unopened transport with the same settings, because each flow needs its own."""
        ...

    def open(self, owner: str) -> None:
        """
        Receive the identity of the store for which executions are run from now on; returns at once.

        The caller holds the lease of that store, so that submissions of an earlier coordinator that have not started
        yet can be cancelled.

        Parameters
        ----------
        owner
            Identity of the store.
        """
        ...

    def take_servers(self, servers: ServerPool) -> None:
        """Start executions from the provider servers of planning, or close these servers."""
        ...

    def render(self, resources: ResourceHint) -> str:
        """
        Return the text that would be submitted for an execution, without submitting it.

        Raises
        ------
        ResourcesRefusedError
            As `check` does.
        BadInputError
            If the transport has no such text; then `Traits.renders_jobs` is false.
        """
        ...

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """
        Check step by step what a run needs here, for `doctor`. Nothing is left behind once the iterator is closed.

        Parameters
        ----------
        providers
            Providers that must be importable where executions run.
        scratch
            Directory below which executions will run.
        wait_seconds
            How long a job may take to start.
        """
        ...

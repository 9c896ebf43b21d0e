"""The port between the lifecycle and the recorders of executions. It knows no database."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind, Limit
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.execution.outcome import ExecutionFailure, Telemetry
from climate_ref_prefect.store.lock_file import Holder

GroupAddress = tuple[str, str, str]
"""Provider, diagnostic and key: names a group."""


def address_of(definition: ExecutionDefinition) -> GroupAddress:
    """Return the name of the group that a definition belongs to."""
    return definition.provider, definition.diagnostic, definition.key


class ExecutionStatus(StrEnum):
    """How far an execution has come."""

    ALLOCATED = "allocated"
    """It has been recorded; nothing has been started."""
    DISPATCHED = "dispatched"
    """It has been handed to a transport."""
    FINISHED = "finished"
    """It has been finalised, as a success or a failure."""


class AttemptCounts(FrozenModel):
    """How often a group has been tried on the same inputs."""

    attempts: int = 0
    """All attempts that have been finalised, whatever their result."""

    counted: int = 0
    """Those that count towards the limit of attempts."""

    lost: int = 0
    """Those that were lost with their worker or node."""

    unavailable: int = 0
    """Those of this solve that the backend could not start; no recorder counts them."""

    def after(self, kind: FailureKind | None, *, counts: bool) -> Self:
        """
        Return how often it has been tried once one more attempt has ended.

        Parameters
        ----------
        kind
            Why that attempt failed; None if it succeeded.
        counts
            Whether that attempt counts.
        """
        rule = FAILURE_RULES[kind] if kind else None
        return type(self)(
            attempts=self.attempts + 1,
            counted=self.counted + int(counts),
            lost=self.lost + int(rule is not None and rule.limit is Limit.LOST),
            unavailable=self.unavailable + int(rule is not None and rule.is_lack_of_capacity),
        )


class Allocation(FrozenModel):
    """An attempt that is to be recorded."""

    definition: ExecutionDefinition
    resources: ResourceHint
    """The resources that it will request."""

    attempt: int = Field(ge=1)
    replaces: int | None = None
    """The execution that this one follows."""


class AllocatedExecution(FrozenModel):
    """An attempt that has a number and a directory."""

    execution_id: int
    """Names the execution in every later call. Two attempts may share one where a recorder knows no attempts."""

    fragment: str
    """Unique relative path of the attempt's directory below scratch and of its results below the results directory."""

    definition: ExecutionDefinition
    resources: ResourceHint
    attempt: int
    output_directory: Path | None = None
    """Absolute path where the diagnostic writes; None for `output` in the attempt's directory."""

    @property
    def address(self) -> GroupAddress:
        """The group that is tried."""
        return address_of(self.definition)


class Finalisation(FrozenModel):
    """What is recorded of an attempt at its end."""

    successful: bool
    retryable: bool
    """Whether another attempt may succeed."""

    counted: bool
    """Whether it counts as an attempt."""

    failure: ExecutionFailure | None
    telemetry: Telemetry
    clears_dirty: bool
    """Whether the group needs no further run."""

    results_path: str | None
    """Directory of its published results; None without results."""

    another_follows: bool = False
    """Whether another attempt is allocated next; a recorder with one row for all attempts need not write then."""


class UnfinishedExecution(FrozenModel):
    """An attempt that has not been finalised."""

    execution_id: int
    fragment: str
    provider: str
    diagnostic: str
    key: str
    status: ExecutionStatus
    transport: str | None
    """None until it has been dispatched."""

    attempt: int
    resources: ResourceHint
    """What it has asked for."""

    @property
    def address(self) -> GroupAddress:
        """The group that is tried."""
        return self.provider, self.diagnostic, self.key

    @property
    def label(self) -> str:
        """Name of the group for people: provider, diagnostic and key."""
        return f"{self.provider}/{self.diagnostic}/{self.key}"


@runtime_checkable
class Recorder(Protocol):
    """
    Where executions are recorded.

    Everybody may read at any time; only a coordinator may write. Each method raises `RecorderUnavailableError`
    if it cannot work now. Nothing was recorded then, and the call may be repeated.
    """

    @property
    def name(self) -> str:
        """Name for people, without any password."""
        ...

    def coordinate(self, holder: Holder, notify: Callable[[str], object] = ...) -> "AbstractContextManager[Writer]":
        """
        Give the right to write, to one coordinator at a time, until the context ends.

        Parameters
        ----------
        holder
            The coordinator, named to other coordinators that find the right taken.
        notify
            Called with a sentence when the right is in danger, and when it no longer is.

        Raises
        ------
        CoordinatorBusyError
            If another coordinator has it. The message names it.
        """
        ...

    def attempt_counts(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptCounts]:
        """Return how often each group has been tried on the same inputs. The result contains every definition."""
        ...

    def unfinished(self) -> Sequence[UnfinishedExecution]:
        """Return the executions that have not been finalised, oldest first."""
        ...


@runtime_checkable
class Writer(Protocol):
    """
    The right to write, as `Recorder.coordinate` gives it.

    Every write holds the lease: where another coordinator has taken over, it raises `LeaseLostError` and changes
    nothing. Every write raises `RecorderUnavailableError` where it cannot work now, and may be repeated.
    """

    def confirm_lease(self) -> None:
        """Raise `LeaseLostError` unless this is still the coordinator. Called before files are changed."""
        ...

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if the lease is known to be lost. This needs no access to the database."""
        ...

    def allocate(self, batch: Sequence[Allocation]) -> Sequence[AllocatedExecution]:
        """
        Record a batch of attempts, all of them or none, in the given order; their groups become dirty.

        The fragment is unique for each attempt. A recorder that cannot add a row for another attempt may give the
        `execution_id` of the one that is replaced again.
        """
        ...

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        """Record that an execution is handed to a transport, with its resources. A finished one stays finished."""
        ...

    def publish(self, finished: FinishedExecution) -> Path | None:
        """
        Bring the results of a success to their permanent place. A repeated call changes nothing.

        Called from any thread, before `ingest`. A recorder whose `ingest` does this as well returns None: the output
        then stays on scratch, whatever the retention setting says.

        Returns
        -------
        The directory of the results, or None.

        Raises
        ------
        ResultRefusedError
            If these results cannot be published.
        OSError
            If a file system fails; the call may be repeated.
        """
        ...

    def ingest(self, finished: FinishedExecution, published: Path | None) -> Sequence[str]:
        """
        Record the results of a success in one transaction. A repeated call adds nothing.

        Called from the thread that allocates and finalises.

        Parameters
        ----------
        finished
            The execution.
        published
            What `publish` returned.

        Returns
        -------
        Warnings about results that were recorded although they are not as they should be.

        Raises
        ------
        ResultRefusedError
            If these results cannot be recorded; nothing of them was.
        OSError
            If a file system fails; the call may be repeated.
        """
        ...

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        """
        Record how an attempt ended, and clear its group's dirty flag if requested.

        A repeated call changes nothing, not even a dirty flag that a user has set since.
        """
        ...


@runtime_checkable
class WithdrawingWriter(Writer, Protocol):
    """
    A writer that can also take back what it has allocated.

    With any other writer, what was allocated and never began is recorded as cancelled when a solve is interrupted.
    """

    def withdraw(self, execution_ids: Sequence[int]) -> None:
        """
        Remove the records of attempts that no worker has begun with, as if they had not been allocated.

        Their groups stay dirty. What has been finalised, or does not exist, stays as it is.
        """
        ...

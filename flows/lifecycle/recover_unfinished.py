"""Recover executions of a dead coordinator: confirm their end, and take them through the remaining phases."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError, UnreadableDocumentError
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import Decision, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.deferred_signals import DeferredSignals
from climate_ref_prefect.flows.lifecycle.execution_liveness import POLL_SECONDS, ExecutionLiveness
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import retry_while_unavailable
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.lifecycle.phase_calls import PhaseCalls
from climate_ref_prefect.flows.lifecycle.phases import complete
from climate_ref_prefect.flows.server.low_overhead_task_runs import low_overhead_task_runs
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter, counter_of_flow_run
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.port import AttemptCounts, UnfinishedExecution, address_of
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import traits_of


def settle_leftovers(
    workspace: Workspace, transport: Transport, task_run_counter: TaskRunCounter | None = None
) -> Leftovers:
    """
    Finalise every execution that another coordinator has left: by its outcome if it left one, else once it is dead.

    Must be called in a Prefect flow, by the one coordinator of the workspace, before it starts anything. Waits some
    heartbeats for executions of which it is not known yet whether they have ended, for all of them at once. Waits for
    the directories and the recorder, too, where they are full or away, for as long as `house_patience` says.

    Parameters
    ----------
    workspace
        The workspace of the executions.
    transport
        Is asked about those that it started; what other transports have started is judged by its files.
    task_run_counter
        Counts the task runs; None for one of this call's own.

    Raises
    ------
    InfrastructureFaultError
        If a directory or the database stays unavailable for longer than `house_patience`.
    """
    settled, elsewhere = 0, []
    timeout_seconds = workspace.settings.house_patience.total_seconds()
    unfinished = retry_while_unavailable(workspace.recorder.unfinished, timeout_seconds)
    with low_overhead_task_runs() if unfinished else nullcontext():
        calls = PhaseCalls(task_run_counter or counter_of_flow_run(), transport, workspace.writer)
        leftovers = [_Leftover(workspace, execution, transport, calls) for execution in unfinished]
        undecided = leftovers
        while undecided:
            decisions = [
                (leftover, retry_while_unavailable(leftover.settle, timeout_seconds)) for leftover in undecided
            ]
            settled += sum(decision is True for _, decision in decisions)
            elsewhere += [leftover.label for leftover, decision in decisions if decision is False]
            _report_once(undecided, still := [leftover for leftover, decision in decisions if decision is None])
            undecided = still
    given_up = sum(leftover.is_given_up for leftover in leftovers)
    return Leftovers(settled=settled, given_up=given_up, elsewhere=tuple(elsewhere))


def _report_once(before: Sequence["_Leftover"], undecided: Sequence["_Leftover"]) -> None:
    """Log once which executions are awaited, and pause."""
    if not undecided:
        return
    if not any(leftover.is_reported for leftover in undecided):
        longest_seconds = max(leftover.longest_wait_seconds for leftover in undecided)
        get_run_logger().info(
            "%d executions of an earlier coordinator may still run: waiting until it is known whether they have ended "
            "(%.0f s at most).",
            len(undecided),
            longest_seconds,
        )
        for leftover in before:
            leftover.is_reported = True
    time.sleep(POLL_SECONDS)


class _Leftover:
    """One unfinished execution, until it is finalised or known to run."""

    def __init__(
        self, workspace: Workspace, execution: UnfinishedExecution, transport: Transport, calls: PhaseCalls
    ) -> None:
        self.label = execution.label
        self.is_reported = False
        """Whether the log has named it as awaited."""
        self.is_given_up = False
        """Whether the outcome that it had left was a failure for good."""
        self._workspace = workspace
        self._execution = execution
        self._transport = transport
        self._calls = calls
        self._directory = ExecutionDirectory(workspace.scratch / execution.fragment)
        self._liveness: ExecutionLiveness | None = None

    @property
    def longest_wait_seconds(self) -> float:
        """The longest time until it is settled, or known to run."""
        return self._liveness.longest_wait_seconds if self._liveness else 0.0

    def settle(self) -> bool | None:
        """Settle it as `_settle` does, telling infrastructure faults from its own."""
        with self._workspace.scratch_place.guarded():
            return self._settle()

    def _settle(self) -> bool | None:
        """Finalise it. Returns False if it runs elsewhere, None while that is unknown; call it repeatedly."""
        self._workspace.writer.raise_if_lease_lost()  # A coordinator that has lost the lease must not end processes.
        if self._liveness is None and self._take_in_outcome():
            return True
        ended = self._has_ended()
        if ended and not self._take_in_outcome(self._delay_seconds()):
            self._close()
            complete(self._lost_attempt(), self._calls.call_without_task)
        return ended

    def _has_ended(self) -> bool | None:
        """Return whether an execution has ended, in a batch job or as a process of this host."""
        if self._liveness is None:
            ended = self._has_job_ended()
            if ended is not None:
                return ended
            self._liveness = ExecutionLiveness(self._directory, self._transport.outcome_patience_seconds)
        return self._liveness.has_ended()

    def _has_job_ended(self) -> bool | None:
        """
        Return whether the job of an execution has ended; None if that is unknown.

        An execution that has no job is closed. One that a job may still run is not, because that would stop it.
        """
        over = self._as_the_scheduler_says()
        if over is not None:
            return over
        may_outlive = traits_of(self._execution.transport).may_outlive_coordinator
        try:
            claim = self._directory.read_claim()
        except UnreadableDocumentError:
            if may_outlive:
                return None
        else:
            if claim is not None and claim.job_id and may_outlive:
                return claim.is_visible_here() and not claim.is_alive_here()
        self._close()
        return None

    def _close(self) -> None:
        self._workspace.writer.confirm_lease()
        self._directory.close("its coordinator had ended")

    def _as_the_scheduler_says(self) -> bool | None:
        if self._execution.transport != self._transport.name:
            return None
        try:
            return self._transport.is_over(self._directory.path)
        except (OSError, ValueError, ClimateRefPrefectError):  # The scheduler does not answer, or a file is torn.
            return None

    def _take_in_outcome(self, timeout_seconds: float = 0.0) -> bool:
        attempt = self._attempt_with_outcome(timeout_seconds)
        if attempt is None:
            return False
        with DeferredSignals():
            complete(attempt, self._calls.call)
        self.is_given_up = attempt.verdict is not None and attempt.verdict.decision is Decision.GIVE_UP
        return True

    def _attempt_with_outcome(self, timeout_seconds: float) -> Attempt | None:
        """Return the attempt with the outcome that it has left; None without one, or if it was given up."""
        try:
            outcome = self._directory.read_outcome(timeout_seconds)
            if outcome is None or self._directory.is_closed():
                return None
            envelope = self._envelope()
        except (UnreadableDocumentError, FileNotFoundError):  # an outcome that cannot be read counts as missing
            return None
        address = address_of(envelope.definition)
        counts = self._workspace.recorder.attempt_counts([envelope.definition])[address]
        attempt = Attempt(self._execution, self._workspace, counts)
        attempt.envelope, attempt.outcome = envelope, outcome
        return attempt

    def _envelope(self) -> ExecutionEnvelope:
        """
        Return the envelope of the execution from its directory.

        Raises
        ------
        FileNotFoundError
            If there is none.
        UnreadableDocumentError
            If it cannot be read, or is that of another execution, whose results would be recorded in its place.
        """
        envelope = self._directory.read_envelope()
        if (envelope.execution_id, envelope.fragment) != (self._execution.execution_id, self._execution.fragment):
            path = self._directory.path / "envelope.json"
            raise UnreadableDocumentError(
                f"{path} is that of execution {envelope.execution_id} in {envelope.fragment}.", path
            )
        return envelope

    def _delay_seconds(self) -> float:
        """Return how long the outcome of an execution that has just ended may take to become visible."""
        silence_seconds = self._directory.silence_seconds()  # Without a heartbeat no outcome is to be expected.
        return max(0.0, self._transport.outcome_patience_seconds - silence_seconds)

    def _lost_attempt(self) -> Attempt:
        """Return an attempt that has ended and left no outcome."""
        attempt = Attempt(self._execution, self._workspace, AttemptCounts())
        failure = ExecutionFailure(
            kind=FailureKind.COORDINATOR_LOST,
            message=f"The coordinator ended while it was {self._execution.status}; it will be run again."
            f"{self._unreadable()}",
        )
        attempt.outcome = ExecutionOutcome(
            execution_id=attempt.execution_id, failure=failure, telemetry=self._directory.last_telemetry()
        )
        return attempt

    def _unreadable(self) -> str:
        """Return a sentence that names the files that could not be read."""
        words = ""
        documents: tuple[Callable[[], object], ...] = (
            self._envelope,
            self._directory.read_claim,
            self._directory.read_outcome,
        )
        for read in documents:
            try:
                read()
            except UnreadableDocumentError as error:
                words += f" {error}"
            except FileNotFoundError:
                continue
        return words

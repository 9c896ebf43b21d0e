"""The lifecycle: takes planned executions through the seven phases of `phases.py`, each as soon as it can be taken."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from prefect.task_runners import ThreadPoolTaskRunner

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind
from climate_ref_prefect.flows.lifecycle import phases
from climate_ref_prefect.flows.lifecycle.attempt import Attempt, next_attempt
from climate_ref_prefect.flows.lifecycle.deferred_signals import DeferredSignals
from climate_ref_prefect.flows.lifecycle.fair_queue import FairQueue
from climate_ref_prefect.flows.lifecycle.finalise_interrupted import finalise_interrupted
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import (
    DATABASE,
    InfrastructureFaults,
    Step,
    is_infrastructure_fault,
)
from climate_ref_prefect.flows.lifecycle.phase_calls import PhaseCalls
from climate_ref_prefect.flows.lifecycle.transport_failure import describe_transport_failure
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.retry.retry_policy import Classification
from climate_ref_prefect.flows.server.low_overhead_task_runs import low_overhead_task_runs
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter
from climate_ref_prefect.flows.workspace.directory_availability import DirectoryUnavailableError
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport
from climate_ref_prefect.transports.prefect_task_runner import TransportTaskRunner

_AFTERMATH: Final = 8
"""Attempts that may be between the end of their run and their finalisation before more are dispatched."""
_ALLOCATED_TOGETHER: Final = 64
"""Executions that are allocated in one transaction, or as many as there are places where these are more."""
_TICK_SECONDS: Final = 1.0
_ROOM: Final = "room on scratch"
Watch = Callable[[], None]
"""Called about once a second; may raise to have everything stopped."""


class Lifecycle:
    """
    Runs executions within the current flow run until all are finalised.

    Parameters
    ----------
    workspace
        Recorder and directories; this process coordinates on it.
    transport
        Where executions run; closed at the end.
    task_run_counter
        Counts the task runs.
    watch
        Called about once a second; it may report progress, or raise to have everything stopped.
    """

    def __init__(
        self, workspace: Workspace, transport: Transport, task_run_counter: TaskRunCounter, watch: Watch
    ) -> None:
        self._workspace = workspace
        self._transport = transport
        self._task_run_counter = task_run_counter
        self._watch = watch
        self._signals = DeferredSignals()
        self._runner = TransportTaskRunner(transport)
        self._publishers: ThreadPoolTaskRunner[None] = ThreadPoolTaskRunner(workspace.settings.publish_threads)
        self._waiting = FairQueue()
        self._active: dict[int, Attempt] = {}
        self._held: dict[int, Attempt] = {}
        self._to_allocate = 0
        self._running = 0
        self._publishing = 0
        self._faults = InfrastructureFaults(workspace.settings.house_patience.total_seconds())
        self._calls = PhaseCalls(task_run_counter, transport, workspace.writer)
        self._steps: Mapping[phases.Phase, Callable[[Attempt], None]] = {
            phases.dispatch: self._dispatch,
            phases.run: self._run,
            phases.classify: self._classify,
            phases.publish: self._publish,
            phases.ingest: self._ingest,
            phases.finalise: self._finalise,
        }
        self.execution_ids: list[int] = []
        """The number of every allocated execution, retries included."""
        self.finished: dict[Decision, int] = dict.fromkeys(Decision, 0)
        """How many attempts ended with each decision."""

    @property
    def unfinished(self) -> int:
        """Number of attempts that wait or run."""
        return self._to_allocate + len(self._waiting) + len(self._held) + len(self._active)

    def run(self, planned: Sequence[PlannedExecution]) -> None:
        """Run planned executions, retries included; returns when every attempt has been finalised."""
        self._waiting.extend(planned)
        with low_overhead_task_runs(), self._signals:
            try:
                with self._publishers, self._runner:
                    while self.unfinished:
                        self._faults.take_due_steps()
                        self._dispatch_some()
                        self._faults.end_if_timed_out(self._count_under_way)
                        self._handle_next_event()
            except BaseException as error:
                with self._signals.block():
                    self._runner.close_transport()
                self._runner.close()
                attempts = [*self._active.values(), *self._held.values(), *self._waiting]
                finalise_interrupted(attempts, error, self._calls, self._workspace, self._transport)
                raise

    def _count_under_way(self) -> int:
        # A job that only waits in a queue is not waited for: it may wait for days, and nothing is lost with it.
        return self._publishing + sum(attempt.may_run() for attempt in self._active.values())

    def _when_possible(self, step: Step, then: Step, *places: str) -> None:
        """Run a step that writes to directories or the database, and then the next; queue it while they fail."""

        def take() -> None:
            if not self._faults.may_run(places, take):
                return
            try:
                step()
            except ClimateRefPrefectError as error:
                if not is_infrastructure_fault(error):
                    raise
                self._faults.record(error, take)
            else:
                self._faults.resolve(places)
                then()

        take()

    def _allocate(
        self, planned: Sequence[PlannedExecution], label: str, then: Callable[[Sequence[Attempt]], None]
    ) -> None:
        batch = phases.Batch(planned, self._workspace)
        self._to_allocate += len(planned)

        def go_on() -> None:
            self._to_allocate -= len(planned)
            then(batch.attempts)
            self.execution_ids += [attempt.execution_id for attempt in batch.attempts]

        self._when_possible(lambda: self._calls.allocate(label, batch), go_on, DATABASE)

    def _allocate_some(self) -> None:
        """Allocate what gets its turn next. What does not leaves no row, however long it waits."""
        places = self._transport.slots - self._running
        planned = self._waiting.take_planned(max(places, _ALLOCATED_TOGETHER), self._active.values())
        self._allocate(planned, f"{len(planned)} executions", self._waiting.put_first)

    def _dispatch_some(self) -> None:
        everywhere = {DATABASE, _ROOM, self._workspace.scratch_place.key(), self._workspace.results_place.key()}
        while (
            self._waiting
            and self._may_dispatch()
            and len(self._active) < self._transport.slots + _AFTERMATH
            and not self._task_run_counter.lags_behind()
            and not everywhere & self._faults.unavailable_places()
        ):
            attempt = self._waiting.take(self._active.values())
            if attempt is not None:
                self._go_on(attempt)
            else:
                self._allocate_some()

    def _may_dispatch(self) -> bool:
        return self._running < self._transport.slots

    def _go_on(self, attempt: Attempt) -> None:
        """Take the next phase of an attempt, or decide what follows it when it has been finalised."""
        phase = phases.next_phase(attempt)
        step = self._conclude if phase is None else self._steps[phase]
        step(attempt)

    def _dispatch(self, attempt: Attempt) -> None:
        places = (*self._scratch_of(attempt), DATABASE)
        self._held[attempt.execution_id] = attempt
        # An execution whose results cannot be published now is not started.
        if not self._faults.may_run((*places, *self._results_of(attempt)), lambda: self._dispatch_again(attempt)):
            return
        try:
            self._calls.call(phases.dispatch, attempt)
        except ResourcesRefusedError as error:
            attempt.fail(FailureKind.SUBMISSION_REFUSED, str(error))
        except OSError as error:
            attempt.fail(FailureKind.SYSTEM_ERROR, f"It could not be dispatched: {error}")
        except ClimateRefPrefectError as error:
            if not is_infrastructure_fault(error):
                raise
            self._faults.record(error, lambda: self._dispatch_again(attempt))
            return
        else:
            self._faults.resolve(places)
        self._active[attempt.execution_id] = self._held.pop(attempt.execution_id)
        self._go_on(attempt)

    def _dispatch_again(self, attempt: Attempt) -> None:
        if self._may_dispatch():
            self._go_on(attempt)
        else:
            self._waiting.extend([self._held.pop(attempt.execution_id)])

    def _scratch_of(self, attempt: Attempt) -> tuple[str, str]:
        return self._workspace.scratch_place.keys(attempt.definition.provider)

    def _results_of(self, attempt: Attempt) -> tuple[str, str]:
        return self._workspace.results_place.keys(attempt.definition.provider)

    def _run(self, attempt: Attempt) -> None:
        self._running += 1
        self._calls.submit(self._runner, phases.run, attempt, self._after_run)

    def _after_run(self, attempt: Attempt, error: BaseException | None) -> None:
        self._running -= 1
        if error is not None and attempt.outcome is None:  # it may still run: another attempt could run beside it
            raise describe_transport_failure(self._transport, error) from error
        kind = attempt.failure_kind
        if kind is not None and FAILURE_RULES[kind].holds_dispatch:
            full = DirectoryUnavailableError(
                self._workspace.scratch_place.title, f"it was full while {attempt.label} ran"
            )
            self._faults.record(full, lambda: self._look_for_room(full), _ROOM)
        elif kind is None:
            self._faults.confirm(_ROOM)
        self._go_on(attempt)

    def _look_for_room(self, full: DirectoryUnavailableError) -> None:
        if self._workspace.scratch_place.has_room():
            self._faults.resolve([_ROOM], for_good=False)
        else:
            self._faults.record(full, lambda: self._look_for_room(full), _ROOM)

    def _classify(self, attempt: Attempt) -> None:
        self._calls.call(phases.classify, attempt)
        self._go_on(attempt)

    def _publish(self, attempt: Attempt) -> None:
        if self._faults.may_run(self._results_of(attempt), lambda: self._publish(attempt)):
            self._publishing += 1
            self._calls.submit(self._publishers, phases.publish, attempt, self._after_publish)

    def _after_publish(self, attempt: Attempt, error: BaseException | None) -> None:
        self._publishing -= 1
        if error is None:
            self._faults.resolve(self._results_of(attempt))
        elif is_infrastructure_fault(error):
            self._faults.record(error, lambda: self._publish(attempt))
            return
        else:
            phases.fail_if_refused(attempt, error)
        self._go_on(attempt)

    def _ingest(self, attempt: Attempt) -> None:
        def ingest() -> None:
            try:
                self._calls.call(phases.ingest, attempt)
            except Exception as error:
                if is_infrastructure_fault(error):
                    raise
                phases.fail_if_refused(attempt, error)

        self._when_possible(ingest, lambda: self._go_on(attempt), DATABASE, *self._results_of(attempt))

    def _finalise(self, attempt: Attempt) -> None:
        self._when_possible(lambda: self._calls.call(phases.finalise, attempt), lambda: self._go_on(attempt), DATABASE)

    def _conclude(self, attempt: Attempt) -> None:
        verdict = attempt.verdict
        assert verdict is not None  # noqa: S101 - it has been classified
        self.finished[verdict.decision] += 1
        if verdict.decision is Decision.RETRY:
            self._when_possible(
                self._workspace.writer.confirm_lease, lambda: self._try_again(attempt, verdict), DATABASE
            )
        else:
            del self._active[attempt.execution_id]

    def _try_again(self, attempt: Attempt, verdict: Classification) -> None:
        del self._active[attempt.execution_id]
        with suppress(OSError):  # Scratch is full. This process does not read the outcome again.
            attempt.files.close("another attempt follows")
        planned = [next_attempt(attempt, verdict)]
        self._allocate(planned, f"{attempt.group_label}, another attempt", self._waiting.extend)

    def _handle_next_event(self) -> None:
        self._watch()
        self._workspace.writer.raise_if_lease_lost()
        if not self.unfinished:
            return
        with self._signals.deliver():
            event = self._calls.next_event(_TICK_SECONDS)
        if event is not None:
            event()

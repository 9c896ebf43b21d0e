"""The lifecycle: takes planned executions through the seven phases, each outcome as soon as it comes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from prefect.task_runners import ThreadPoolTaskRunner

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.flows import phases
from climate_ref_prefect.flows.abandoning import abandon
from climate_ref_prefect.flows.attempt import Attempt, attempt_after
from climate_ref_prefect.flows.gate import SignalGate
from climate_ref_prefect.flows.house_faults import DATABASE, HouseFaults, Step, is_house_fault
from climate_ref_prefect.flows.phase_calls import PhaseCalls
from climate_ref_prefect.flows.places import PlaceUnavailableError
from climate_ref_prefect.flows.plan import PlannedExecution
from climate_ref_prefect.flows.policy import Decision, Verdict
from climate_ref_prefect.flows.record.frugality import frugal_task_runs
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.flows.taking_in import kind_of_refusal
from climate_ref_prefect.flows.transport_failure import what_broke
from climate_ref_prefect.flows.turns import Turns
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport
from climate_ref_prefect.transports.task_runner import TransportTaskRunner

_AFTERMATH: Final = 8
"""Attempts that may be between the end of their run and their last word before more are dispatched."""
_TICK_SECONDS: Final = 1.0
_ROOM: Final = "room on scratch"
Watch = Callable[[], None]


class Lifecycle:
    """
    Runs executions to their end within the current flow run.

    Parameters
    ----------
    workspace
        Store and directories; this process coordinates on it.
    transport
        Where executions run; closed at the end.
    ledger
        Counts the task runs.
    watch
        Called about once a second; it may report progress, or raise to have everything stopped.
    """

    def __init__(self, workspace: Workspace, transport: Transport, ledger: Ledger, watch: Watch) -> None:
        self._workspace = workspace
        self._transport = transport
        self._ledger = ledger
        self._watch = watch
        self._gate = SignalGate()
        self._runner = TransportTaskRunner(transport)
        self._publishers: ThreadPoolTaskRunner[None] = ThreadPoolTaskRunner(workspace.settings.publish_threads)
        self._waiting = Turns()
        self._active: dict[int, Attempt] = {}
        self._held: dict[int, Attempt] = {}
        self._to_allocate = 0
        self._running = 0
        self._publishing = 0
        self._house = HouseFaults(workspace.settings.house_patience.total_seconds())
        self._calls = PhaseCalls(ledger)
        self.execution_ids: list[int] = []
        """Every execution that was allocated, retries included."""
        self.finished: dict[Decision, int] = dict.fromkeys(Decision, 0)
        """How many attempts ended with each decision."""

    @property
    def unfinished(self) -> int:
        """How many attempts are waiting or under way."""
        return self._to_allocate + len(self._waiting) + len(self._held) + len(self._active)

    def run(self, planned: Sequence[PlannedExecution]) -> None:
        """Run planned executions and their retries; returns when the last has its last word."""
        with frugal_task_runs(), self._gate:
            try:
                with self._publishers, self._runner:
                    self._allocate(planned, f"{len(planned)} executions")
                    while self.unfinished:
                        self._house.take_due_steps()
                        self._dispatch_some()
                        self._house.end_if_patience_is_over(self._count_under_way)
                        self._hear_news()
            except BaseException as error:
                with self._gate.shut():  # who signals twice may have broken in on it, even before it began
                    self._runner.close()
                attempts = [*self._active.values(), *self._held.values(), *self._waiting]
                abandon(attempts, error, self._workspace, self._transport)
                raise

    def _count_under_way(self) -> int:
        # A job that only waits in a queue is not waited for: it may wait for days, and nothing is lost with it.
        return self._publishing + sum(attempt.may_run() for attempt in self._active.values())

    def _when_possible(self, step: Step, then: Step, *places: str) -> None:
        """Take a step that writes to places, and the next, or have it wait until they work: nobody is to blame."""

        def take() -> None:
            if not self._house.admits(places, take):
                return
            try:
                step()
            except ClimateRefPrefectError as error:
                if not is_house_fault(error):
                    raise
                self._house.met(error, take)
            else:
                self._house.passed(places)
                then()

        take()

    def _allocate(self, planned: Sequence[PlannedExecution], label: str) -> None:
        if not planned:
            return
        batch = phases.Batch(planned)
        self._to_allocate += len(planned)

        def go_on() -> None:
            self._to_allocate -= len(planned)
            self._waiting.extend(batch.attempts)
            self.execution_ids += [attempt.execution_id for attempt in batch.attempts]

        self._when_possible(
            lambda: self._calls.call(phases.allocate, label=label, batch=batch, workspace=self._workspace),
            go_on,
            DATABASE,
        )

    def _dispatch_some(self) -> None:
        everywhere = {DATABASE, _ROOM, self._workspace.scratch_place.key(), self._workspace.results_place.key()}
        while (
            self._waiting
            and self._may_dispatch()
            and len(self._active) < self._transport.slots + _AFTERMATH
            and not self._ledger.must_hold_back()
            and not everywhere & self._house.open_places()
        ):
            self._dispatch(self._waiting.take(self._active.values()))

    def _may_dispatch(self) -> bool:
        return self._running < self._transport.slots

    def _dispatch(self, attempt: Attempt) -> None:
        places = (*self._scratch_of(attempt), DATABASE)
        self._held[attempt.execution_id] = attempt
        # What can never be brought to its place is not begun: its results would only wait there.
        if not self._house.admits((*places, *self._results_of(attempt)), lambda: self._dispatch_again(attempt)):
            return
        try:
            self._calls.call(
                phases.dispatch,
                label=attempt.label,
                attempt=attempt,
                workspace=self._workspace,
                transport=self._transport,
            )
        except ResourcesRefusedError as error:
            self._refuse(attempt, FailureKind.SUBMISSION_REFUSED, str(error))
        except OSError as error:
            self._refuse(attempt, FailureKind.SYSTEM_ERROR, f"It could not be dispatched: {error}")
        except ClimateRefPrefectError as error:
            if not is_house_fault(error):
                raise
            self._house.met(error, lambda: self._dispatch_again(attempt))
        else:
            self._house.passed(places)
            self._activate(attempt)
            self._running += 1
            self._calls.follow(self._runner, phases.run, attempt, {"execution": attempt}, self._after_run)

    def _dispatch_again(self, attempt: Attempt) -> None:
        if self._may_dispatch():
            self._dispatch(attempt)
        else:
            self._waiting.extend([self._held.pop(attempt.execution_id)])

    def _activate(self, attempt: Attempt) -> None:
        self._active[attempt.execution_id] = self._held.pop(attempt.execution_id)

    def _refuse(self, attempt: Attempt, kind: FailureKind, message: str) -> None:
        self._activate(attempt)
        attempt.fail(kind, message)
        self._classify(attempt)

    def _scratch_of(self, attempt: Attempt) -> tuple[str, str]:
        return self._workspace.scratch_place.keys(attempt.allocated.definition.provider)

    def _results_of(self, attempt: Attempt) -> tuple[str, str]:
        return self._workspace.results_place.keys(attempt.allocated.definition.provider)

    def _after_run(self, attempt: Attempt, error: BaseException | None) -> None:
        self._running -= 1
        if error is not None:  # it may still run: another attempt now could run beside it
            raise what_broke(self._transport, error) from error
        kind = attempt.failure_kind
        if kind is FailureKind.SCRATCH_FULL:
            full = PlaceUnavailableError(self._workspace.scratch_place.title, f"it was full while {attempt.label} ran")
            self._house.met(full, lambda: self._look_for_room(full), _ROOM)
        elif kind is None:
            self._house.confirm(_ROOM)
        self._classify(attempt)

    def _look_for_room(self, full: PlaceUnavailableError) -> None:
        if self._workspace.scratch_place.has_room():
            self._house.passed([_ROOM], for_good=False)
        else:
            self._house.met(full, lambda: self._look_for_room(full), _ROOM)

    def _classify(self, attempt: Attempt) -> None:
        self._calls.call(
            phases.classify,
            label=attempt.label,
            attempt=attempt,
            policy=self._workspace.policy_of(attempt.allocated.definition),
            transport=self._transport,
        )
        if attempt.verdict is not None and attempt.verdict.succeeded:
            self._publish(attempt)
        else:
            self._finalise(attempt)

    def _publish(self, attempt: Attempt) -> None:
        if self._house.admits(self._results_of(attempt), lambda: self._publish(attempt)):
            self._publishing += 1
            parameters = {"attempt": attempt, "workspace": self._workspace}
            self._calls.follow(self._publishers, phases.publish, attempt, parameters, self._after_publish)

    def _after_publish(self, attempt: Attempt, error: BaseException | None) -> None:
        self._publishing -= 1
        if error is None:
            self._house.passed(self._results_of(attempt))
            self._ingest(attempt)
        elif is_house_fault(error):
            self._house.met(error, lambda: self._publish(attempt))
        else:
            self._refuse_result(attempt, error)
            self._classify(attempt)

    def _ingest(self, attempt: Attempt) -> None:
        def ingest() -> None:
            try:
                self._calls.call(phases.ingest, label=attempt.label, attempt=attempt, workspace=self._workspace)
            except Exception as error:
                if is_house_fault(error):
                    raise
                self._refuse_result(attempt, error)

        def go_on() -> None:
            if attempt.failure_kind is None:
                self._finalise(attempt)
            else:
                self._classify(attempt)

        self._when_possible(ingest, go_on, DATABASE, *self._results_of(attempt))

    def _refuse_result(self, attempt: Attempt, error: BaseException) -> None:
        kind = kind_of_refusal(error)
        if kind is None:
            raise error
        attempt.fail(kind, f"{type(error).__name__}: {error}")

    def _finalise(self, attempt: Attempt) -> None:
        self._when_possible(
            lambda: self._calls.call(phases.finalise, label=attempt.label, attempt=attempt, workspace=self._workspace),
            lambda: self._conclude(attempt),
            DATABASE,
        )

    def _conclude(self, attempt: Attempt) -> None:
        verdict = attempt.verdict
        assert verdict is not None  # noqa: S101 - it has been classified
        self.finished[verdict.decision] += 1
        if verdict.decision is Decision.RETRY:
            self._when_possible(
                self._workspace.store.confirm_lease, lambda: self._try_again(attempt, verdict), DATABASE
            )
        else:
            del self._active[attempt.execution_id]

    def _try_again(self, attempt: Attempt, verdict: Verdict) -> None:
        del self._active[attempt.execution_id]
        with suppress(OSError):  # scratch is full; no outcome is looked for here again
            attempt.files.close("another attempt follows")
        self._allocate([attempt_after(attempt, verdict)], f"{attempt.allocated.definition.label}, another attempt")

    def _hear_news(self) -> None:
        self._watch()
        self._workspace.store.raise_if_lease_lost()
        if not self.unfinished:
            return
        with self._gate.open():
            news = self._calls.wait(_TICK_SECONDS)
        if news is not None:
            news()

"""The lifecycle: takes planned executions through the seven phases, each outcome as soon as it comes."""

import queue
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from prefect import Task
from prefect.exceptions import CancelledRun
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.flows import phases
from climate_ref_prefect.flows.attempt import Attempt
from climate_ref_prefect.flows.gate import SignalGate
from climate_ref_prefect.flows.plan import PlannedExecution
from climate_ref_prefect.flows.policy import Decision, RetryPolicy, Standing, Verdict
from climate_ref_prefect.flows.record.frugality import frugal_task_runs
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.flows.taking_in import REFUSALS, kind_of_refusal
from climate_ref_prefect.flows.turns import Turns
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.store.errors import LeaseLostError, StoreError
from climate_ref_prefect.transports.driver import TransportClosedError
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport
from climate_ref_prefect.transports.task_runner import TransportTaskRunner

_AFTERMATH: Final = 8
"""Attempts that may be between the end of their run and their last word before more are dispatched."""
_TICK_SECONDS: Final = 1.0
Watch = Callable[[], None]
Then = Callable[[Attempt, BaseException | None], None]


class TransportFailedError(ClimateRefPrefectError):
    """The place where executions run has failed as a whole."""


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
        self._running = 0
        self._nobody_tells = False
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.execution_ids: list[int] = []
        """Every execution that was allocated, retries included."""
        self.finished: dict[Decision, int] = dict.fromkeys(Decision, 0)
        """How many attempts ended with each decision."""

    @property
    def unfinished(self) -> int:
        """How many attempts are waiting or under way."""
        return len(self._waiting) + len(self._active)

    def run(self, planned: Sequence[PlannedExecution]) -> None:
        """Run planned executions and their retries; returns when the last has its last word."""
        with frugal_task_runs(), self._gate:
            try:
                with self._publishers, self._runner:
                    self._allocate(planned, f"{len(planned)} executions")
                    while self.unfinished:
                        self._dispatch_some()
                        self._hear_news()
            except BaseException as error:
                with self._gate.shut():  # who signals twice may have broken in on it, even before it began
                    self._runner.close()
                self._abandon(error)
                raise

    def _allocate(self, planned: Sequence[PlannedExecution], label: str) -> None:
        if not planned:
            return
        batch = phases.Batch(planned)
        self._call(phases.allocate, label=label, batch=batch, workspace=self._workspace)
        self._waiting.extend(batch.attempts)
        self.execution_ids += [attempt.execution_id for attempt in batch.attempts]

    def _dispatch_some(self) -> None:
        while (
            self._waiting
            and self._running < self._transport.slots
            and len(self._active) < self._transport.slots + _AFTERMATH
            and not self._ledger.must_hold_back()
        ):
            attempt = self._waiting.take(self._active.values())
            self._active[attempt.execution_id] = attempt
            try:
                self._call(
                    phases.dispatch,
                    label=attempt.label,
                    attempt=attempt,
                    workspace=self._workspace,
                    transport=self._transport,
                )
            except ResourcesRefusedError as error:
                attempt.fail(FailureKind.SUBMISSION_REFUSED, str(error))
                self._classify(attempt)
            except OSError as error:
                attempt.fail(FailureKind.SYSTEM_ERROR, f"It could not be dispatched: {error}")
                self._classify(attempt)
            else:
                self._running += 1
                self._follow(self._runner, phases.run, attempt, {"execution": attempt}, self._after_run)

    def _after_run(self, attempt: Attempt, error: BaseException | None) -> None:
        self._running -= 1
        if error is not None:  # it may still run: another attempt now could run beside it
            raise _what_broke(self._transport, error) from error
        self._classify(attempt)

    def _classify(self, attempt: Attempt) -> None:
        self._call(
            phases.classify,
            label=attempt.label,
            attempt=attempt,
            policy=self._policy_of(attempt),
            transport=self._transport,
        )
        if attempt.verdict is not None and attempt.verdict.succeeded:
            self._follow(
                self._publishers,
                phases.publish,
                attempt,
                {"attempt": attempt, "workspace": self._workspace},
                self._after_publish,
            )
        else:
            self._finalise(attempt)

    def _policy_of(self, attempt: Attempt) -> RetryPolicy:
        definition = attempt.allocated.definition
        return self._workspace.policies.of(definition.provider, definition.diagnostic)

    def _after_publish(self, attempt: Attempt, error: BaseException | None) -> None:
        if error is None:
            try:
                self._call(phases.ingest, label=attempt.label, attempt=attempt, workspace=self._workspace)
            except REFUSALS as refused:
                error = refused
        if error is None:
            self._finalise(attempt)
            return
        if isinstance(error, LeaseLostError):
            raise error
        attempt.fail(kind_of_refusal(error), f"{type(error).__name__}: {error}")
        self._classify(attempt)

    def _finalise(self, attempt: Attempt) -> None:
        verdict = attempt.verdict
        assert verdict is not None  # noqa: S101 - it has been classified
        self._call(phases.finalise, label=attempt.label, attempt=attempt, workspace=self._workspace)
        del self._active[attempt.execution_id]
        self.finished[verdict.decision] += 1
        if verdict.decision is Decision.RETRY:
            self._workspace.store.confirm_lease()
            with suppress(OSError):  # scratch is full; no outcome is looked for here again
                attempt.files.close("another attempt follows")
            self._allocate([_next(attempt, verdict)], f"{attempt.allocated.definition.label}, another attempt")

    def _hear_news(self) -> None:
        self._watch()
        self._workspace.store.raise_if_lease_lost()
        if not self.unfinished:
            return
        try:
            with self._gate.open():
                news = self._news.get(timeout=_TICK_SECONDS)
        except queue.Empty:
            return
        news()

    def _follow(
        self,
        runner: TransportTaskRunner | ThreadPoolTaskRunner[None],
        phase: Task[..., None],
        attempt: Attempt,
        parameters: Mapping[str, object],
        then: Then,
    ) -> None:
        def report(future: PrefectFuture[None]) -> None:
            self._news.put(lambda: self._hear(future, then, attempt))

        submitted = runner.submit(phase, {"label": attempt.label, **parameters})
        submitted.add_done_callback(report)

    def _hear(
        self,
        future: PrefectFuture[None],
        then: Then,
        attempt: Attempt,
    ) -> None:
        self._ledger.count()
        result = future.result(raise_on_failure=False)
        then(attempt, result if isinstance(result, BaseException) else None)

    def _call(self, phase: Task[..., None], **parameters: object) -> None:
        try:
            phase(**parameters)
        finally:
            self._ledger.count()

    def _abandon(self, error: BaseException) -> None:
        """Give up what has no last word yet: its group stays dirty, and the next solve takes it up."""
        if not self._may_give_up():
            return
        lost = isinstance(error, Exception) and not isinstance(error, CancelledRun)
        kind = FailureKind.COORDINATOR_LOST if lost else FailureKind.CANCELLED
        for attempt in [*self._active.values(), *self._waiting]:
            if attempt.has_result() or self._may_still_run(attempt):
                continue  # the next solve takes in what it has left, or will leave
            with suppress(OSError):
                attempt.files.close(str(error) or type(error).__name__)
            attempt.fail(kind, f"Stopped before its end: {type(error).__name__} {error}".rstrip())
            attempt.verdict = self._policy_of(attempt).classify(attempt.outcome, attempt.resources, attempt.standing)
            self._workspace.store.finalise(attempt.execution_id, phases.last_word(attempt))
        self._active.clear()
        self._waiting.clear()

    def _may_give_up(self) -> bool:
        """Whether this still coordinates: otherwise, or if nobody can tell, the attempts are not its own."""
        try:
            self._workspace.store.confirm_lease()
        except (LeaseLostError, StoreError):
            return False
        return True

    def _may_still_run(self, attempt: Attempt) -> bool:
        """Whether an attempt has not been confirmed dead: a scheduler does not answer, or somebody could not wait."""
        if self._nobody_tells:
            return attempt.files.read_claim() is not None
        try:
            return self._transport.is_over(attempt.directory) is False
        except (OSError, ValueError, ClimateRefPrefectError):
            self._nobody_tells = True  # and is not asked about each: one answer may take a minute
            return True


def _what_broke(transport: Transport, error: BaseException) -> ClimateRefPrefectError:
    """Return what to tell people; who came later than the first only knows that the transport is closed."""
    cause = error.__cause__ if isinstance(error, TransportClosedError) and error.__cause__ else error
    if isinstance(cause, BadInputError):
        return BadInputError(str(cause))
    return TransportFailedError(
        f"The transport {transport.name!r} cannot go on ({type(cause).__name__}: {cause}). All that ran is stopped, "
        "nothing is given up: mend the cause, and `solve` goes on from here."
    )


def _next(attempt: Attempt, verdict: Verdict) -> PlannedExecution:
    standing = Standing(
        attempts=attempt.standing.attempts + 1,
        counted=attempt.standing.counted + int(verdict.counts),
        lost=attempt.standing.lost + int(not verdict.counts),
    )
    return PlannedExecution(
        definition=attempt.allocated.definition,
        provider=attempt.provider,
        resources=verdict.resources,
        granted=verdict.resources,
        standing=standing,
        replaces=attempt.execution_id,
    )

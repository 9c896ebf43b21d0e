"""Call phases as Prefect tasks: directly, or in another thread with an event at the end. Each task run is counted."""

import inspect
import queue
from collections.abc import Callable, Mapping
from typing import Final

from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote
from pydantic import BaseModel

from climate_ref_prefect.flows.lifecycle import phases
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.phases import Batch, Phase
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter
from climate_ref_prefect.store.port import Writer
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.prefect_task_runner import TransportTaskRunner

Event = Callable[[], None]
OnDone = Callable[[Attempt, BaseException | None], None]
_PARAMETERS: Final[Mapping[Phase, tuple[str, ...]]] = {
    phase: tuple(inspect.signature(phase.fn).parameters) for phase in phases.PHASES
}
"""What each phase takes: an attempt, and one of the two ports or both."""


class PhaseCalls:
    """
    Calls phases on behalf of one thread, which also handles the events of those that ran in other threads.

    Parameters
    ----------
    task_run_counter
        Counts the task runs.
    transport, writer
        The two ports: each phase is given those that it takes.
    """

    def __init__(self, task_run_counter: TaskRunCounter, transport: Transport, writer: Writer) -> None:
        self._task_run_counter = task_run_counter
        self._writer = writer
        self._ports: dict[str, object] = {"transport": transport, "writer": writer}
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def allocate(self, label: str, batch: Batch) -> None:
        """Allocate a batch and wait for the end. Raises what the phase raises."""
        try:
            phases.allocate(label=label, batch=batch, writer=self._writer)
        finally:
            self._task_run_counter.count()

    def call(self, phase: Phase, attempt: Attempt) -> None:
        """Call a phase as a task run and wait for its end. Raises what the phase raises."""
        try:
            phase(**{name: _unsearched(value) for name, value in self._arguments(phase, attempt).items()})
        finally:
            self._task_run_counter.count()

    def call_without_task(self, phase: Phase, attempt: Attempt) -> None:
        """Call the function of a phase alone: for what may be thousands of attempts that did not run to their end."""
        phase.fn(**self._arguments(phase, attempt))

    def submit(
        self, runner: TransportTaskRunner | ThreadPoolTaskRunner[None], phase: Phase, attempt: Attempt, on_done: OnDone
    ) -> None:
        """Have a runner call a phase. Its end becomes an event, which calls `on_done` with the exception or None."""

        def report(future: PrefectFuture[None]) -> None:
            self._events.put(lambda: self._handle(future, on_done, attempt))

        submitted = runner.submit(phase, self._arguments(phase, attempt))
        submitted.add_done_callback(report)

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Return the next event, which the caller must call; None if there is none in time."""
        try:
            return self._events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def _arguments(self, phase: Phase, attempt: Attempt) -> dict[str, object]:
        label = attempt.run_label if phase is phases.run else attempt.label
        known = {"label": label, "attempt": attempt, "execution": attempt, **self._ports}
        return {name: known[name] for name in _PARAMETERS[phase]}

    def _handle(self, future: PrefectFuture[None], on_done: OnDone, attempt: Attempt) -> None:
        self._task_run_counter.count()
        result = future.result(raise_on_failure=False)
        on_done(attempt, result if isinstance(result, BaseException) else None)


def _unsearched(value: object) -> object:
    """Keep Prefect from looking for futures in every field of a model: it does so at each call, several times."""
    return quote(value) if isinstance(value, BaseModel) else value

"""Calls of phases: here and now, or elsewhere with news when they have ended; each is counted."""

import queue
from collections.abc import Callable, Mapping

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote
from pydantic import BaseModel

from climate_ref_prefect.flows.attempt import Attempt
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.transports.task_runner import TransportTaskRunner

News = Callable[[], None]
Then = Callable[[Attempt, BaseException | None], None]


class PhaseCalls:
    """
    Calls phases on behalf of one thread, which also takes in what has ended elsewhere.

    Parameters
    ----------
    ledger
        Counts the task runs.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def call(self, phase: Task[..., None], **parameters: object) -> None:
        """Call a phase and wait for its end; raises what it raises."""
        try:
            phase(**{name: _unsearched(value) for name, value in parameters.items()})
        finally:
            self._ledger.count()

    def follow(
        self,
        runner: TransportTaskRunner | ThreadPoolTaskRunner[None],
        phase: Task[..., None],
        attempt: Attempt,
        parameters: Mapping[str, object],
        then: Then,
    ) -> None:
        """Have a runner call a phase; its end becomes news, which calls `then` with what it raised."""

        def report(future: PrefectFuture[None]) -> None:
            self._news.put(lambda: self._hear(future, then, attempt))

        submitted = runner.submit(phase, {"label": attempt.label, **parameters})
        submitted.add_done_callback(report)

    def wait(self, timeout_seconds: float) -> News | None:
        """Return the next news, to be called; none if there is none in time."""
        try:
            return self._news.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def _hear(self, future: PrefectFuture[None], then: Then, attempt: Attempt) -> None:
        self._ledger.count()
        result = future.result(raise_on_failure=False)
        then(attempt, result if isinstance(result, BaseException) else None)


def _unsearched(value: object) -> object:
    """Keep Prefect from looking for futures in every field of a model: it does so at each call, several times."""
    return quote(value) if isinstance(value, BaseModel) else value

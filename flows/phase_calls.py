"""Call phases as Prefect tasks: directly, or in another thread with an event at the end. Each task run is counted."""

import queue
from collections.abc import Callable, Mapping

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from climate_ref_prefect.flows.attempt import Attempt
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.transports.task_runner import TransportTaskRunner

News = Callable[[], None]
Then = Callable[[Attempt, BaseException | None], None]


class PhaseCalls:
    """
    Calls phases on behalf of one thread, which also handles the events of those that ran in other threads.

    Parameters
    ----------
    ledger
        Counts the task runs.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()

    def call(self, phase: Task[..., None], **parameters: object) -> None:
        """Call a phase and wait for its end. Raises what the phase raises."""
        try:
            phase(**parameters)
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
        """Have a runner call a phase. Its end becomes an event, which calls `then` with the exception or None."""

        def report(future: PrefectFuture[None]) -> None:
            self._news.put(lambda: self._hear(future, then, attempt))

        submitted = runner.submit(phase, {"label": attempt.label, **parameters})
        submitted.add_done_callback(report)

    def wait(self, timeout_seconds: float) -> News | None:
        """Return the next event, which the caller must call; None if there is none in time."""
        try:
            return self._news.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def _hear(self, future: PrefectFuture[None], then: Then, attempt: Attempt) -> None:
        self._ledger.count()
        result = future.result(raise_on_failure=False)
        then(attempt, result if isinstance(result, BaseException) else None)

"""Monitor a running lifecycle: report its progress, and stop it when its flow run is cancelled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Final

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger

from climate_ref_prefect.execution.failure_kinds import Decision
from climate_ref_prefect.flows.cancellation import is_cancelled
from climate_ref_prefect.flows.lifecycle.lifecycle import Lifecycle
from climate_ref_prefect.flows.report.prefect_artifacts import Progress
from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter

_EVERY_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 10.0
_LAST_LOOK_SECONDS: Final = 5.0


class FlowRunMonitor:
    """
    Reports progress every few seconds and asks whether the flow run was cancelled, in a thread of its own.

    Prefect does not notify a flow run that was started directly when it is cancelled in the UI, so it has to ask. A
    slow server delays nothing, because the lifecycle does not wait for this thread.

    Parameters
    ----------
    progress
        Shows the progress to people.
    task_run_counter
        Counts the task runs that the server has recorded; refreshed here.
    """

    def __init__(self, progress: Progress, task_run_counter: TaskRunCounter) -> None:
        self._progress = progress
        self._task_run_counter = task_run_counter
        self._over = threading.Event()
        self._cancelled = False

    def raise_if_cancelled(self) -> None:
        """
        Raise if the flow run has been cancelled.

        Raises
        ------
        CancelledRun
            If the flow run is being cancelled.
        """
        if self._cancelled:
            raise CancelledRun("The flow run was cancelled.")

    @contextmanager
    def monitoring(self, lifecycle: Lifecycle) -> Iterator[None]:
        """Monitor a lifecycle until the block ends."""
        watch = threading.Thread(target=copy_context().run, args=(self._watch, lifecycle), name="watch", daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._over.set()
            watch.join(_LAST_LOOK_SECONDS)

    def _watch(self, lifecycle: Lifecycle) -> None:
        # A client of its own: that of the flow may be closed while this one still waits for an answer.
        with get_client(sync_client=True, httpx_settings={"timeout": _ANSWER_SECONDS}) as client:
            pause = _EVERY_SECONDS
            while not self._over.wait(pause):
                pause = _EVERY_SECONDS if self._ask(client, lifecycle) else _AGAIN_SECONDS
        if any(lifecycle.finished.values()):
            with best_effort("the last of its progress"):
                self._report(lifecycle)

    def _ask(self, client: SyncPrefectClient, lifecycle: Lifecycle) -> bool:
        try:
            with best_effort("its progress there"):
                # First, because executions may be held back until it is known that the server is gone.
                self._task_run_counter.refresh(client)
                self._cancelled = is_cancelled(client)
                self._report(lifecycle)
                return True
        except Exception:  # noqa: BLE001 - the next attempt may succeed, and a cancellation must not be missed
            get_run_logger().exception("Looking after the flow run has failed.")
        return False

    def _report(self, lifecycle: Lifecycle) -> None:
        finished = lifecycle.finished
        self._progress.report(
            done=sum(finished.values()) - finished[Decision.RETRY],
            failed=finished[Decision.GIVE_UP] + finished[Decision.RETRY_LATER],
            unfinished=lifecycle.unfinished,
        )

"""
Count task runs and those that Prefect's server has recorded, because it records them late and drops what overflows.

The queue of a server holds 10,000 events (`prefect/server/utilities/messaging/memory.py`). A task run makes three.
"""

import time
from typing import Final
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterState
from prefect.client.schemas.filters import TaskRunFilterStateType as StateFilter
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.runtime import flow_run

from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.flows.server.recorded_task_runs import RecordedTaskRuns

_LAG_AT_MOST: Final = 1_500
"""How many task runs may be unrecorded: less than half of what the server's queue holds."""
_TIMEOUT_SECONDS: Final = 30.0
_SHORTEST_POLL_SECONDS: Final = 0.05
_LONGEST_POLL_SECONDS: Final = 0.5


class TaskRunCounter:
    """
    Counts the task runs of one flow run, and those that the server had recorded when it was last asked.

    Parameters
    ----------
    flow_run_id
        None outside of a flow run, where no server records anything.
    """

    def __init__(self, flow_run_id: UUID | None) -> None:
        self._flow_run_id = flow_run_id
        self._finished = 0
        self._recorded = 0
        self._lost = 0
        self._gone = False
        self._moved_at = time.monotonic()

    def count(self) -> None:
        """Count one more finished task run."""
        self._finished += 1

    def lags_behind(self) -> bool:
        """Whether the server lags so far behind that its queue may overflow. A server that is gone has no queue."""
        return self._flow_run_id is not None and not self._gone and self._lag >= _LAG_AT_MOST

    def refresh(self, client: SyncPrefectClient) -> None:
        """
        Ask the server how many task runs it has recorded.

        Raises
        ------
        One of `UNANSWERED`
            If it does not answer, or the answer is not a number.
        """
        before = self._recorded
        try:
            self._recorded = self._finished if self._flow_run_id is None else self._final_task_runs(client)
        except httpx.ConnectError:
            self._gone = True
            raise
        else:
            self._gone = False
        finally:
            self._write_off(self._recorded - before)

    def wait_until_recorded(self) -> RecordedTaskRuns:
        """Wait for the server while it makes progress, and return how many task runs it has recorded."""
        began = moved_at = time.monotonic()
        with get_client(sync_client=True) as client:
            while self._recorded < self._finished and not self._gone and time.monotonic() - moved_at < _TIMEOUT_SECONDS:
                before = self._recorded
                with best_effort("knowing how far it is"):
                    self.refresh(client)
                if self._recorded > before:
                    moved_at = time.monotonic()
                if self._recorded < self._finished:
                    tenth = (time.monotonic() - began) / 10
                    time.sleep(min(max(tenth, _SHORTEST_POLL_SECONDS), _LONGEST_POLL_SECONDS))
        return RecordedTaskRuns(finished=self._finished, recorded=self._recorded, seconds=time.monotonic() - began)

    @property
    def _lag(self) -> int:
        return self._finished - self._recorded - self._lost

    def _write_off(self, progress: int) -> None:
        """Count task runs as lost that stay unrecorded for too long. They may still arrive and are counted then."""
        if progress > 0 or not self.lags_behind():
            self._lost = max(0, self._lost - progress)
            self._moved_at = time.monotonic()
        elif time.monotonic() - self._moved_at > _TIMEOUT_SECONDS:
            self._lost += self._lag

    def _final_task_runs(self, client: SyncPrefectClient) -> int:
        final = TaskRunFilter(state=TaskRunFilterState(type=StateFilter(any_=list(TERMINAL_STATES))))
        flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[self._flow_run_id]))
        answer = client.request(
            "POST",
            "/task_runs/count",
            json={
                "flow_runs": flow_run.model_dump(mode="json", exclude_unset=True),
                "task_runs": final.model_dump(mode="json", exclude_unset=True),
            },
        )
        try:
            return int(answer.json())
        except ValueError as error:  # For example the page of a proxy.
            raise httpx.DecodingError(f"The server answers {answer.text[:80]!r}.", request=answer.request) from error


def counter_of_flow_run() -> TaskRunCounter:
    """Return a counter for the flow run that this is called in."""
    return TaskRunCounter(UUID(flow_run.id) if flow_run.id else None)

"""
Keeps step with Prefect's server, which records task runs later than they happen, and drops what its queue cannot hold.

The queue of a server holds 10,000 events (`prefect/server/utilities/messaging/memory.py`), a task run makes three.
"""

import time
from typing import Any, Final

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterState
from prefect.client.schemas.filters import TaskRunFilterStateType as StateFilter
from prefect.client.schemas.objects import TERMINAL_STATES

from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.flows.unanswered import ANSWER_SECONDS, UNANSWERED, warn

_LAG_AT_MOST: Final = 1_500
"""Task runs that may be under way to the server: less than half of what its queue holds."""
_PATIENCE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5


class Recorded(FrozenModel):
    """How many task runs there were, and how many of them the server shows in a final state."""

    finished: int
    recorded: int
    seconds: float
    """How long the server took for the rest, after the flow's own work was done."""

    @property
    def complete(self) -> bool:
        """Whether the server shows all of them."""
        return self.recorded >= self.finished


class Ledger:
    """
    Counts the task runs of one flow run and asks the server how many it has recorded.

    Parameters
    ----------
    flow_run_id
        None outside of a flow run: then there is nothing to keep step with.
    """

    def __init__(self, flow_run_id: Any | None) -> None:
        self._flow_run_id = flow_run_id
        self._client: SyncPrefectClient = get_client(sync_client=True, httpx_settings={"timeout": ANSWER_SECONDS})
        self._finished = 0
        self._recorded = 0
        self._lost = 0
        self._asked_at = 0.0
        self._moved_at = time.monotonic()
        self._answered = True

    def count(self) -> None:
        """Note that one more task run has finished."""
        self._finished += 1

    def must_hold_back(self) -> bool:
        """Whether the server lags so far behind that its queue may overflow, and still makes progress."""
        if self._lag < _LAG_AT_MOST:
            self._moved_at = time.monotonic()
            return False
        if time.monotonic() - self._asked_at >= _POLL_SECONDS:
            self._ask()
            if self._is_stuck:
                self._lost += self._lag
        return self._lag >= _LAG_AT_MOST

    def wait_until_recorded(self) -> Recorded:
        """Wait for the server as long as it makes progress, and say how far it came."""
        began = self._moved_at = time.monotonic()
        while self._recorded < self._finished and not self._is_stuck:
            self._ask()
            if self._recorded < self._finished:
                time.sleep(_POLL_SECONDS)
        return Recorded(finished=self._finished, recorded=self._recorded, seconds=time.monotonic() - began)

    @property
    def _lag(self) -> int:
        return self._finished - self._recorded - self._lost

    @property
    def _is_stuck(self) -> bool:
        return time.monotonic() - self._moved_at > _PATIENCE_SECONDS

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        before = self._recorded
        try:
            self._recorded = self._finished if self._flow_run_id is None else self._final_task_runs()
        except UNANSWERED as error:
            if self._answered:
                warn("knowing how far it is", error)
            self._answered = False
        else:
            self._answered = True
        if self._recorded > before:
            self._moved_at = time.monotonic()
            self._lost = min(self._lost, self._finished - self._recorded)

    def _final_task_runs(self) -> int:
        final = TaskRunFilter(state=TaskRunFilterState(type=StateFilter(any_=list(TERMINAL_STATES))))
        flow_run = FlowRunFilter(id=FlowRunFilterId(any_=[self._flow_run_id]))
        answer = self._client.request(
            "POST",
            "/task_runs/count",
            json={
                "flow_runs": flow_run.model_dump(mode="json", exclude_unset=True),
                "task_runs": final.model_dump(mode="json", exclude_unset=True),
            },
        )
        return int(answer.json())

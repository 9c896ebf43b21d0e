"""What a flow does when its run is cancelled: it ends as Cancelled, however it was told."""

from collections.abc import Callable
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled

from climate_ref_prefect.flows.server.best_effort_calls import best_effort, short_retries

Result = TypeVar("Result")


def cancelled_in_order(solve: Callable[[], Result]) -> Result:
    """
    Call what a flow does, and return the state Cancelled if the flow run was cancelled meanwhile.

    A flow that raises `CancelledRun` stays Cancelling for ever; the returned state is final, and raises that for
    callers. A worker whose flow run is cancelled sends it SIGTERM, which Prefect would call a crash.
    """
    try:
        return solve()
    except CancelledRun as cancelled:
        message = str(cancelled)
    except TerminationSignal:
        if not _was_cancelled():
            raise
        message = "The flow run was cancelled."
    return Cancelled(message=message)  # type: ignore[return-value]


def is_cancelled(client: SyncPrefectClient) -> bool:
    """Ask the server whether the current flow run is being cancelled, or is cancelled."""
    if flow_run.id is None:
        return False
    state = client.read_flow_run(flow_run.id).state
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _was_cancelled() -> bool:
    with best_effort("the end of a cancelled run"), short_retries(), get_client(sync_client=True) as client:
        return is_cancelled(client)
    return False

"""A Prefect server of the tests' own, and questions to it. The fixture `prefect_server` starts it once per session."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTaskRunId,
)
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.client.schemas.sorting import LogSort, TaskRunSort
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from climate_ref_prefect.flows.server.local_server import LocalServer, local_server

_PAGE = 200


@contextmanager
def running_server(home: Path) -> Iterator[LocalServer]:
    """Run a server that this process and those that it starts report to."""
    with (
        local_server(home) as server,
        # Prefect joins a heartbeat's thread for a second at the end of each flow run.
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in server.variables.items():
            environment.setenv(name, value)
        yield server


def task_runs(flow_run_id: UUID) -> list[TaskRun]:
    """Return all task runs of a flow run that the server knows."""
    found: list[TaskRun] = []
    with get_client(sync_client=True) as client:
        while page := client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
            sort=TaskRunSort.ID_DESC,
            limit=_PAGE,
            offset=len(found),
        ):
            found += page
    return found


def cancel_flow_run(flow_run_id: UUID) -> None:
    """Do what the button in the UI does."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, State(type=StateType.CANCELLING))


def state_of(flow_run_id: UUID) -> StateType | None:
    """Return the state of a flow run."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
        return None if state is None else state.type


def messages(flow_run_id: UUID) -> list[str]:
    """Return what a flow run has logged, with its task runs."""
    return _messages(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])))


def messages_of_task_run(task_run_id: UUID) -> list[str]:
    """Return what a task run has logged."""
    return _messages(LogFilter(task_run_id=LogFilterTaskRunId(any_=[task_run_id])))


def _messages(wanted: LogFilter) -> list[str]:
    with get_client(sync_client=True) as client:
        logs = client.read_logs(wanted, offset=0, limit=_PAGE, sort=LogSort.TIMESTAMP_ASC)
        return [log.message for log in logs]

"""The task runner in real flows: task runs stay here, their bodies run on the transport."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker
from prefect.futures import PrefectConcurrentFuture
from prefect.runtime import flow_run
from prefect.testing.utilities import prefect_test_harness
from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import execute
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import left_behind, noted_processes, started_here, wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.ended_queue import EndedQueue
from climate_ref_prefect.transports.port import Ended, Submission
from climate_ref_prefect.transports.prefect_task_runner import TransportTaskRunner
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport
from tests.prefect_server import task_runs

TIMEOUT_SECONDS = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> Iterator[None]:
    """Give this module a Prefect server of its own."""
    with prefect_test_harness(server_startup_timeout=120):
        EventsWorker.drain_all(timeout=TIMEOUT_SECONDS)  # one that another module has left goes on with its own server
        yield
        EventsWorker.drain_all(timeout=TIMEOUT_SECONDS)


@dataclass
class Execution:
    """What a flow hands to the runner, and what comes back in it."""

    directory: Path
    resources: ResourceHint
    outcome: ExecutionOutcome | None = None


@task(task_run_name="run {label}", cache_policy=NO_CACHE, persist_result=False)
def run(label: str, execution: Execution) -> None:
    """Do what a worker does."""
    execution.outcome = execute(execution.directory)


def submit(runner: TransportTaskRunner, execution: Execution) -> PrefectConcurrentFuture[None]:
    """Start a task run as a flow does."""
    return runner.submit(run, {"label": execution.directory.name, "execution": execution})


def some(prepare: Prepare, *names: str) -> list[Execution]:
    """Prepare executions."""
    return [Execution(*prepare(name)) for name in names]


PLACES = 2000
THREADS = 32


class PatientTransport(TransportModel):
    """Has thousands of places, runs nothing, and ends what a test says."""

    _ended: EndedQueue = PrivateAttr(default_factory=EndedQueue)
    _submitted: list[Path] = PrivateAttr(default_factory=list)

    @property
    def slots(self) -> int:
        return PLACES

    @property
    def submitted(self) -> int:
        return len(self._submitted)

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        self._submitted.append(directory)
        return self.submission_of(directory)

    def end(self, directory: Path, outcome: ExecutionOutcome) -> None:
        self._ended.put(Ended(submission=self.submission_of(directory), outcome=outcome))

    def wait(self, timeout_seconds: float) -> list[Ended]:
        return self._ended.wait(timeout_seconds)

    def cancel(self, submission: Submission) -> None: ...

    def close(self, timeout_seconds: float = 1.0) -> None: ...


def test_what_waits_takes_no_thread_and_is_not_shown_as_running(prepare: Prepare) -> None:
    directory, resources = prepare("noop")
    waiting = [Execution(directory.parent / f"waits-{number}", resources) for number in range(PLACES - 1)]
    (begun,) = some(prepare, "noop")
    transport = PatientTransport()
    flow_runs: list[UUID] = []
    threads: list[int] = []

    @flow
    def solve() -> tuple[State[Any], State[Any]]:
        flow_runs.append(UUID(flow_run.id))
        with TransportTaskRunner(transport) as runner:
            first = submit(runner, begun)
            others = [submit(runner, execution) for execution in waiting]
            wait_until(lambda: transport.submitted == PLACES, TIMEOUT_SECONDS)
            assert not task_runs(*flow_runs)
            ExecutionDirectory(begun.directory).claim(Claim.of_this_process())
            wait_until(lambda: [run.state_name for run in task_runs(*flow_runs)] == ["Running"], TIMEOUT_SECONDS)
            threads.append(threading.active_count())
            transport.end(begun.directory, ExecutionOutcome(execution_id=1))
            first.wait(TIMEOUT_SECONDS)
        others[-1].wait(TIMEOUT_SECONDS)
        return first.state, others[-1].state

    ended, left = solve()
    assert (ended.is_completed(), kind_of(begun.outcome)) == (True, None)
    assert left.is_failed()
    assert "closed before the execution had ended" in str(left.message)
    assert threads[0] <= THREADS
    wait_until(lambda: [run.state_name for run in task_runs(*flow_runs)] == ["Completed"], TIMEOUT_SECONDS)


def test_results_of_a_flow_come_from_the_transport(prepare: Prepare) -> None:
    executions = some(prepare, "writing", "noop", "own-error")

    @flow
    def solve() -> list[State[Any]]:
        with TransportTaskRunner(LocalTransport(cpu=2)) as runner:
            futures = [submit(runner, execution) for execution in executions]
            for future in futures:
                future.wait(TIMEOUT_SECONDS)
            return [future.state for future in futures]

    states = solve()
    assert [state.name for state in states] == ["Completed", "Completed", "Failed"]
    assert str(states[2].message).startswith("error of the diagnostic: ")
    assert [kind_of(execution.outcome) for execution in executions] == [None, None, FailureKind.DIAGNOSTIC_ERROR]
    assert (executions[0].directory / "output" / "values.txt").exists()


def test_task_runs_are_named_after_their_execution(prepare: Prepare) -> None:
    (execution,) = some(prepare, "noop")

    @flow
    def solve() -> str:
        with TransportTaskRunner(InlineTransport()) as runner:
            future = submit(runner, execution)
            future.wait(TIMEOUT_SECONDS)
            assert future.state.state_details.task_run_id == future.task_run_id
            (shown,) = wait_until(lambda: task_runs(UUID(flow_run.id)), TIMEOUT_SECONDS)
            assert shown.id == future.task_run_id
            return shown.name

    assert solve() == f"run {execution.directory.name}"


def test_several_runners_in_one_flow_keep_their_executions_apart(prepare: Prepare) -> None:
    executions = some(prepare, *["work"] * 6)

    @flow
    def solve() -> None:
        with TransportTaskRunner(LocalTransport(cpu=2)) as local, TransportTaskRunner(InlineTransport()) as inline:
            futures = [submit((local, inline)[number % 2], execution) for number, execution in enumerate(executions)]
            for future in futures:
                future.wait(TIMEOUT_SECONDS)

    solve()
    assert [kind_of(execution.outcome) for execution in executions] == [None] * 6


def test_a_duplicate_runs_on_the_same_transport_after_the_first_is_closed(prepare: Prepare) -> None:
    executions = some(prepare, "noop", "noop")
    runner = TransportTaskRunner(LocalTransport(cpu=1))

    @flow
    def solve() -> None:
        for execution in executions:
            with runner.duplicate() as duplicate:
                assert duplicate.transport is runner.transport
                submit(duplicate, execution).wait(TIMEOUT_SECONDS)

    solve()
    assert [kind_of(execution.outcome) for execution in executions] == [None, None]


def test_tasks_that_differ_in_their_options_keep_them(prepare: Prepare) -> None:
    executions = some(prepare, *["noop"] * 4)

    @flow
    def solve() -> list[str | None]:
        with TransportTaskRunner(InlineTransport()) as runner:
            names: list[str | None] = []
            for number, execution in enumerate(executions):  # each copy is gone before the next is made
                renamed = run.with_options(name=f"run-{number}")
                future = runner.submit(renamed, {"label": "a", "execution": execution})
                del renamed
                future.wait(TIMEOUT_SECONDS)
                names.append(future.state.name)
            return names

    assert solve() == ["Completed"] * 4
    assert [kind_of(execution.outcome) for execution in executions] == [None] * 4


def test_an_error_in_the_flow_closes_the_runner_and_leaves_no_process(prepare: Prepare) -> None:
    (execution,) = some(prepare, "tree-long")
    before = started_here()
    futures = []

    @flow
    def solve() -> None:
        with TransportTaskRunner(LocalTransport(cpu=2)) as runner:
            futures.append(submit(runner, execution))
            noted_processes(execution.directory / "output", 3)
            raise RuntimeError("the flow has failed")

    with pytest.raises(RuntimeError, match="the flow has failed"):
        solve()
    futures[0].wait(TIMEOUT_SECONDS)
    assert futures[0].state.is_failed()
    assert "closed before the execution had ended" in str(futures[0].state.message)
    wait_until(lambda: not left_behind(before), TIMEOUT_SECONDS)


def test_an_error_while_closing_reaches_the_flow(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    (execution,) = some(prepare, "noop")
    close = LocalTransport.close

    def fail(transport: LocalTransport, timeout_seconds: float = 1.0) -> None:
        close(transport, timeout_seconds)
        raise OSError("the scheduler did not answer")

    monkeypatch.setattr(LocalTransport, "close", fail)

    @flow
    def solve() -> None:
        with TransportTaskRunner(LocalTransport(cpu=1)) as runner:
            submit(runner, execution).wait(TIMEOUT_SECONDS)

    with pytest.raises(OSError, match="did not answer"):
        solve()
    assert kind_of(execution.outcome) is None

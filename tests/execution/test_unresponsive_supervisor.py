"""A supervisor that does not answer is ended with its process tree."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import end_tree
from climate_ref_prefect.execution.worker.execute import ServerPool, begin, finish
from climate_ref_prefect.execution.worker.running_execution import RunningExecution
from climate_ref_prefect.flows.lifecycle.execution_liveness import END_SECONDS, ExecutionLiveness
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import Process, none_alive, noted_processes, wait_until
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend, Driving, kind_of, message_of
from tests.transports.local_backend import local_backend

TIMEOUT_SECONDS = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backend() -> Backend:
    """Return the transport whose supervisors are stopped here; closing it does not wait for long."""
    return local_backend(Allowances(close_seconds=0.5))


@pytest.mark.parametrize("isolation", ["warm", "fresh"])
@pytest.mark.parametrize(("diagnostic", "number"), [("tree-long", 3), ("chain-long", 4)])
def test_closing_ends_what_a_stopped_supervisor_was_to_end(
    backend: Backend, prepare: Prepare, diagnostic: str, number: int, isolation: Isolation
) -> None:
    with Driving(backend.open(), backend.allowances) as driving:
        directory, resources = prepare(diagnostic, isolation=isolation)
        driving.start(directory, resources)
        processes = [*noted_processes(directory / "output", number), stop_supervisor(directory)]
    assert none_alive(processes)


def test_one_that_is_cancelled_and_does_not_answer_is_ended(prepare: Prepare) -> None:
    pool = ServerPool()
    try:
        directory, _ = prepare("tree-long")
        running = begin(ExecutionDirectory(directory), pool)
        assert isinstance(running, RunningExecution)
        processes = [*noted_processes(directory / "output", 3), stop_supervisor(directory)]
        running.expect(TIMEOUT_SECONDS, grace_seconds=0.5)
        running.cancel()
        outcome = finish(running)
    finally:
        pool.close()
    assert kind_of(outcome) is FailureKind.CANCELLED
    assert f"Its supervisor (process {processes[-1].pid} of " in message_of(outcome)
    assert none_alive(processes)


def test_one_that_should_have_ended_by_itself_is_lost(backend: Backend, prepare: Prepare) -> None:
    with Driving(backend.open(), backend.allowances) as driving:
        directory, resources = prepare("tree-long")
        future = driving.start(directory, resources)
        processes = [*noted_processes(directory / "output", 3), stop_supervisor(directory)]
        (running,) = driving.transport._children._running.values()  # type: ignore[attr-defined]
        running.expect(0.0, grace_seconds=0.0)
        outcome = future.result(TIMEOUT_SECONDS)
        assert driving.run(*prepare("noop")).succeeded
    assert kind_of(outcome) is FailureKind.WORKER_LOST
    assert none_alive(processes)


def test_a_pilot_hears_how_one_ends_that_was_killed_before_it_answered(prepare: Prepare) -> None:
    pool = ServerPool()
    try:
        directory, _ = prepare("tree-long")
        running = begin(ExecutionDirectory(directory), pool)
        assert isinstance(running, RunningExecution)
        processes = [*noted_processes(directory / "output", 3), stop_supervisor(directory)]
        assert end_tree(processes[-1].pid, TIMEOUT_SECONDS) == []
        outcome = finish(running)
    finally:
        pool.close()
    assert kind_of(outcome) is FailureKind.WORKER_LOST
    assert none_alive(processes)


def test_the_next_coordinator_ends_the_whole_tree(backend: Backend, prepare: Prepare) -> None:
    with Driving(backend.open(), backend.allowances) as driving:
        directory, resources = prepare("tree-long")
        future = driving.start(directory, resources)
        processes = [*noted_processes(directory / "output", 3), stop_supervisor(directory)]
        liveness = ExecutionLiveness(ExecutionDirectory(directory), 0.0)
        assert wait_until(liveness.has_ended, END_SECONDS + TIMEOUT_SECONDS)
        assert none_alive(processes)
        future.result(TIMEOUT_SECONDS)


def test_nothing_survives_a_caller_that_is_killed_while_its_supervisor_is_stopped(prepare: Prepare) -> None:
    directory, _ = prepare("tree-long")
    with subprocess.Popen([sys.executable, "-m", "tests.execution.calling_process", str(directory)]) as caller:
        processes = [*noted_processes(directory / "output", 3), stop_supervisor(directory)]
        caller.kill()
    wait_until(lambda: none_alive(processes))


def stop_supervisor(directory: Path) -> Process:
    """Stop the supervisor of an execution, and return it."""
    claim = wait_until(ExecutionDirectory(directory).read_claim)
    os.kill(claim.pid, signal.SIGSTOP)
    return Process(claim.pid, claim.process_started)

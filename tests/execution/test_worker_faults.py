"""If a process of the worker is killed, or the disk is full, there is an outcome and nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import children
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.child_process import CHILD_MODULE
from climate_ref_prefect.execution.worker.provider_server_client import SERVER_MODULE
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import (
    Process,
    left_behind,
    none_alive,
    noted_processes,
    running_with,
    started_here,
    wait_until,
)
from climate_ref_prefect.testing.transports.contract_driver import Driving, kind_of, message_of

HANGING = "climate_ref_prefect.testing.providers.import_hang:provider"
TIMEOUT_SECONDS = 60.0
GONE_SECONDS = 8.0
"""How long processes may outlive the one that had started them."""
pytestmark = pytest.mark.slow
FINISHING = QUICK.model_copy(update={"finish_without_caller": True})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def caller_of() -> Iterator["Callers"]:
    """Start processes that run an execution each."""
    callers = Callers()
    yield callers
    callers.end()


class Callers:
    """Processes that run an execution each, and what they have started."""

    def __init__(self) -> None:
        self._before = started_here()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, directory: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.execution.calling_process", str(directory)], stdout=subprocess.PIPE
        )
        self._processes.append(process)
        return process

    def started(self) -> set[Process]:
        """Return everything that runs because of them, and they themselves."""
        return left_behind(self._before)

    def end(self) -> None:
        """End those that still run."""
        for process in self._processes:
            process.kill()
            process.communicate()


def servers() -> list[Process]:
    """Return the warm servers that this process has started."""
    direct = set(children(os.getpid()))
    return [process for process in started_here() if process.pid in direct and SERVER_MODULE in process.command]


def supervisor_of(directory: Path) -> int:
    """Return the pid of the supervisor of an execution."""
    claim = wait_until(ExecutionDirectory(directory).read_claim)
    return claim.pid


class TestKilledSupervisor:
    """The supervisor of an execution is killed."""

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    @pytest.mark.parametrize(("diagnostic", "number"), [("tree-long", 3), ("chain-long", 4)])
    def test_its_whole_tree_dies_and_the_worker_counts_as_lost(
        self, own: Driving, prepare: Prepare, diagnostic: str, number: int, isolation: Isolation
    ) -> None:
        directory, resources = prepare(diagnostic, isolation=isolation)
        future = own.start(directory, resources)
        processes = noted_processes(directory / "output", number)
        os.kill(supervisor_of(directory), signal.SIGKILL)
        assert kind_of(future.result(TIMEOUT_SECONDS)) is FailureKind.WORKER_LOST
        wait_until(lambda: none_alive(processes), GONE_SECONDS)
        assert own.run(*prepare("noop", isolation=isolation)).succeeded

    def test_its_last_telemetry_is_in_the_outcome(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("long")
        future = own.start(directory, resources)
        wait_until(lambda: (found := ExecutionDirectory(directory).read_telemetry()) and found.peak_rss_mb > 1)
        os.kill(supervisor_of(directory), signal.SIGKILL)
        outcome = future.result(TIMEOUT_SECONDS)
        assert outcome.telemetry.host
        assert outcome.telemetry.peak_rss_mb > 1

    def test_the_trees_of_others_live_on(self, own: Driving, prepare: Prepare) -> None:
        (lost, resources), (kept, _) = prepare("long"), prepare("wait-to-go")
        futures = [own.start(directory, resources) for directory in (lost, kept)]
        own.wait_for(kept / "output" / "started")
        os.kill(supervisor_of(lost), signal.SIGKILL)
        assert kind_of(futures[0].result(TIMEOUT_SECONDS)) is FailureKind.WORKER_LOST
        (kept / "output" / "go").touch()
        assert futures[1].result(TIMEOUT_SECONDS).succeeded


class TestTerminatedSupervisor:
    """The supervisor of an execution gets SIGTERM, as from a scheduler."""

    def test_it_ends_its_tree_and_leaves_an_outcome(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("tree-long")
        future = own.start(directory, resources)
        processes = noted_processes(directory / "output", 3)
        supervisor = supervisor_of(directory)
        os.kill(supervisor, signal.SIGTERM)
        os.kill(supervisor, signal.SIGTERM)
        outcome = future.result(TIMEOUT_SECONDS)
        assert kind_of(outcome) is FailureKind.WORKER_LOST
        assert "SIGTERM" in message_of(outcome)
        assert ExecutionDirectory(directory).read_outcome() == outcome
        assert none_alive(processes)


class TestKilledServer:
    """The warm server of a provider is killed."""

    def test_what_runs_goes_on_and_the_next_execution_starts_another(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("wait-to-go")
        future = own.start(directory, resources)
        own.wait_for(directory / "output" / "started")
        (server,) = servers()
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.alive)
        assert own.run(*prepare("noop")).succeeded
        (directory / "output" / "go").touch()
        assert future.result(TIMEOUT_SECONDS).succeeded
        assert server not in servers()

    def test_one_that_is_killed_while_it_imports_is_no_failure_of_its_provider(
        self, own: Driving, prepare: Prepare
    ) -> None:
        for _ in range(2):  # the second execution has the provider imported again
            future = own.start(*prepare(target=HANGING))
            (server,) = wait_until(servers)
            os.kill(server.pid, signal.SIGKILL)
            outcome = future.result(TIMEOUT_SECONDS)
            assert kind_of(outcome) is FailureKind.KILLED
            assert f"Provider {HANGING} was killed (SIGKILL) while it was imported" in message_of(outcome)

    def test_a_new_interpreter_that_is_killed_while_it_imports_is_none_either(
        self, own: Driving, prepare: Prepare
    ) -> None:
        directory, resources = prepare(target=HANGING, isolation="fresh")
        future = own.start(directory, resources)
        (child,) = wait_until(lambda: running_with(CHILD_MODULE, directory.parent))
        os.kill(child, signal.SIGKILL)
        outcome = future.result(TIMEOUT_SECONDS)
        assert kind_of(outcome) is FailureKind.KILLED
        assert f"Provider {HANGING} was killed (SIGKILL) while it was imported" in message_of(outcome)


class TestKilledCaller:
    """The process that started an execution is killed: a coordinator, a notebook."""

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_nothing_survives_it(self, caller_of: Callers, prepare: Prepare, isolation: Isolation) -> None:
        directory, _ = prepare("tree-long", isolation=isolation)
        caller = caller_of(directory)
        processes = {*noted_processes(directory / "output", 3), *caller_of.started()}
        assert len(processes) >= 7  # three of the diagnostic's, child, supervisor, server and caller
        caller.kill()
        wait_until(lambda: none_alive(processes), GONE_SECONDS)
        outcome = ExecutionDirectory(directory).read_outcome()
        assert kind_of(outcome) is FailureKind.COORDINATOR_LOST

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_an_import_that_hangs_does_not_survive_it(
        self, caller_of: Callers, prepare: Prepare, isolation: Isolation
    ) -> None:
        directory, _ = prepare(target="climate_ref_prefect.testing.providers.import_hang:provider", isolation=isolation)
        caller = caller_of(directory)
        wait_until(lambda: any(process.is_of_worker for process in caller_of.started()))
        if isolation == "fresh":
            wait_until(lambda: "waiting" in read_or_empty(directory / "run.log"))
        caller.kill()
        wait_until(lambda: none_alive(caller_of.started()), GONE_SECONDS)

    def test_what_may_finish_without_it_leaves_its_outcome(self, caller_of: Callers, prepare: Prepare) -> None:
        directory, _ = prepare("wait-to-go", limits=FINISHING)
        caller = caller_of(directory)
        wait_until((directory / "output" / "started").exists)
        caller.kill()
        caller.wait()
        (directory / "output" / "go").touch()
        outcome = wait_until(ExecutionDirectory(directory).read_outcome)
        assert outcome.succeeded
        assert outcome.telemetry.exit_code == 0

    def test_what_may_finish_without_it_is_still_held_to_its_limits(self, caller_of: Callers, prepare: Prepare) -> None:
        directory, _ = prepare("tree-hang", limits=FINISHING, wall_clock_seconds=4.0)
        caller = caller_of(directory)
        processes = noted_processes(directory / "output", 3)
        caller.kill()
        outcome = wait_until(ExecutionDirectory(directory).read_outcome)
        assert kind_of(outcome) is FailureKind.TIMEOUT
        assert none_alive(processes)

    def test_one_that_is_left_alone_tells_the_outcome(self, caller_of: Callers, prepare: Prepare) -> None:
        directory, _ = prepare("writing")
        printed, _ = caller_of(directory).communicate(timeout=TIMEOUT_SECONDS)
        assert ExecutionOutcome.from_json(printed).succeeded


class TestFullDisk:
    """There is no room left where the execution has its directory."""

    @pytest.mark.parametrize("diagnostic", ["fill-disk", "print-much"])
    def test_filling_it_is_a_system_error(self, own: Driving, small_disk: Path, diagnostic: str) -> None:
        outcome = own.run(*Prepare(small_disk)(diagnostic))
        assert kind_of(outcome) is FailureKind.SYSTEM_ERROR
        assert "No space left" in message_of(outcome)
        assert "so this is its own failure" in message_of(outcome)
        assert outcome.telemetry.host

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_one_that_is_full_from_the_start_is_no_fault_of_the_execution(
        self, own: Driving, small_disk: Path, isolation: Isolation
    ) -> None:
        directory, resources = Prepare(small_disk)("noop", isolation=isolation)
        fill(small_disk)
        outcome = own.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SCRATCH_FULL
        assert "No space left" in message_of(outcome)
        assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == []

    def test_one_that_fills_up_while_it_runs_ends_a_hanging_execution_in_time(
        self, own: Driving, small_disk: Path
    ) -> None:
        directory, resources = Prepare(small_disk)("hang", wall_clock_seconds=2.0)
        future = own.start(directory, resources)
        wait_until(lambda: "hanging" in read_or_empty(directory / "run.log"))
        fill(small_disk)
        outcome = future.result(TIMEOUT_SECONDS)
        assert kind_of(outcome) is FailureKind.TIMEOUT

    def test_a_provider_that_cannot_be_imported_is_reported_all_the_same(self, own: Driving, small_disk: Path) -> None:
        directory, resources = Prepare(small_disk)(target="climate_ref_prefect.testing.providers.import_error:provider")
        fill(small_disk)
        assert kind_of(own.run(directory, resources)) is FailureKind.PROVIDER_IMPORT


class TestUnusableDirectory:
    """The execution's directory does not allow what the worker has to do."""

    def test_a_log_that_cannot_be_opened_is_a_system_error(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("noop")
        (directory / "run.log").mkdir()
        outcome = own.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SYSTEM_ERROR
        assert "run.log" in message_of(outcome)
        assert own.run(*prepare("noop")).succeeded

    def test_a_directory_without_envelope_is_a_system_error(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("noop")
        (directory / "envelope.json").unlink()
        assert kind_of(own.run(directory, resources)) is FailureKind.SYSTEM_ERROR


def fill(directory: Path) -> None:
    """Leave no room on the file system of a directory."""
    with (directory / "filling").open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def read_or_empty(path: Path) -> str:
    """Return what is in a file; nothing if there is none."""
    return path.read_text() if path.exists() else ""

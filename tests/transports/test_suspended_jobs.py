"""Time in which a job is suspended is not time in which its execution could run, and what runs in it waits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.host.process_tree import children
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Driving
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import NodeSettings, Settings
from tests.slurm.cluster import SlurmCluster
from tests.transports.job_executions import Open, Running, opening

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
WALL_CLOCK_SECONDS = 12.0
SUSPENDED_SECONDS = 14.0


def pass_time(seconds: float) -> None:
    """Wait for a time that nothing but the clock tells: the wall clock limit of an execution that is suspended."""
    over_at = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > over_at, seconds + 10)


def state_of(pid: int) -> str:
    """Return the state of a process in one letter."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def supervisor_of(directory: Path) -> int:
    """Return the process that has claimed an execution."""
    claim = ExecutionDirectory(directory).read_claim()
    assert claim is not None
    return claim.pid


def assert_not_counted(outcome: ExecutionOutcome) -> None:
    """Hold that it succeeded, and that its suspension is none of its duration, but known."""
    assert outcome.succeeded, outcome.failure
    suspended_seconds = float(str(outcome.telemetry.transport_meta["suspended_seconds"]))
    assert suspended_seconds > SUSPENDED_SECONDS / 2
    assert outcome.telemetry.duration_seconds < WALL_CLOCK_SECONDS


@pytest.fixture
def local(prepare: Prepare) -> Iterator[Driving]:
    """Open a local transport."""
    with Driving(LocalTransport(cpu=2), Allowances()) as driving:
        yield driving


def test_where_all_processes_are_stopped(local: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("wait-to-go", wall_clock_seconds=WALL_CLOCK_SECONDS)
    future = local.start(directory, resources)
    local.wait_for(directory / "output" / "started")
    supervisor = supervisor_of(directory)
    stopped = [supervisor, *children(supervisor)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    pass_time(SUSPENDED_SECONDS)
    (directory / "output" / "go").touch()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert_not_counted(future.result(60))


def test_where_only_the_process_is_stopped_that_asked_for_the_execution(prepare: Prepare) -> None:
    directory, _ = prepare("wait-to-go", wall_clock_seconds=WALL_CLOCK_SECONDS)
    command = [sys.executable, "-m", "tests.execution.calling_process", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as caller:
        wait_until((directory / "output" / "started").exists, 60)
        (child,) = children(supervisor_of(directory))
        os.kill(caller.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(child) == "T")
        pass_time(SUSPENDED_SECONDS)
        os.kill(caller.pid, signal.SIGCONT)
        wait_until(lambda: state_of(child) != "T")
        (directory / "output" / "go").touch()
        answer, _ = caller.communicate(timeout=60)
    assert_not_counted(ExecutionOutcome.from_json(answer))


def test_an_execution_that_is_cancelled_while_it_is_stopped_ends(prepare: Prepare) -> None:
    directory, _ = prepare("wait-to-go")
    command = [sys.executable, "-m", "tests.execution.calling_process", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as caller:
        wait_until((directory / "output" / "started").exists, 60)
        (child,) = children(supervisor_of(directory))
        os.kill(caller.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(child) == "T")
        os.kill(caller.pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{child}").exists())


class TestOnSlurm:
    """SLURM freezes all processes of the job."""

    @pytest.fixture
    def open_slurm(self, slurm: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
        with opening(SlurmTransport, tmp_path / "shared") as open_one:
            yield open_one

    def test_a_suspended_job(self, open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
        running = Running(open_slurm(), prepare, wall_clock_seconds=WALL_CLOCK_SECONDS)
        slurm.run("scontrol", "suspend", running.job_id)
        wait_until(lambda: slurm.jobs()[int(running.job_id)] == "SUSPENDED")
        pass_time(SUSPENDED_SECONDS)
        running.go_on()
        slurm.run("scontrol", "resume", running.job_id)
        assert_not_counted(running.outcome())


class TestOnPbs:
    """PBS stops the job's own session, which is that of the pilot alone."""

    @pytest.fixture
    def cluster(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsCluster]:
        with PbsCluster(Settings(nodes=(NodeSettings("pbsvm", ncpus=4),), kill_delay_seconds=2.0)) as site:
            for name, value in site.environment.items():
                monkeypatch.setenv(name, value)
            yield site

    @pytest.fixture
    def open_pbs(self, cluster: PbsCluster, tmp_path: Path) -> Iterator[Open]:
        with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
            yield open_one

    def test_a_suspended_job(self, open_pbs: Open, prepare: Prepare, cluster: PbsCluster) -> None:
        running = Running(open_pbs(), prepare, wall_clock_seconds=WALL_CLOCK_SECONDS)
        (child,) = children(supervisor_of(running.directory))
        cluster.misbehave.suspend(running.job_id)
        wait_until(lambda: state_of(child) == "T")
        pass_time(SUSPENDED_SECONDS)
        cluster.misbehave.resume(running.job_id)
        running.go_on()
        assert_not_counted(running.outcome())

"""The cluster of the tests' own does what a site's cluster does, and leaves nothing behind."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.slurm.cluster import SlurmCluster
from tests.slurm.configuration import CGROUP_MOUNT, KILL_WAIT_SECONDS
from tests.slurm.programs import ClusterError

pytestmark = pytest.mark.slow

_STATE_SECONDS = 60.0
_ALLOCATE = 'python3 -c "bytearray(400 * 2**20)"'
"""What needs 400 MB and a little."""


@pytest.fixture(autouse=True)
def _ready(slurm: SlurmCluster) -> Iterator[None]:
    yield
    wait_until(lambda: set(slurm.node_states().values()) == {"idle"}, _STATE_SECONDS)


class Submitted:
    """A job of a shell command, with its output in a file below `directory`."""

    def __init__(self, slurm: SlurmCluster, directory: Path, command: str, *options: str) -> None:
        output = f"--output={directory}/%j.out"
        printed = slurm.run("sbatch", "--parsable", output, "--mem=100", *options, f"--wrap={command}")
        self.number = int(printed)
        self._slurm = slurm
        self._output = directory / f"{self.number}.out"

    def wait(self, *states: str) -> None:
        """Return when it is in one of `states`."""
        wait_until(lambda: self._slurm.jobs()[self.number] in states, _STATE_SECONDS)

    def detail(self, name: str) -> str:
        """Return what `scontrol show job` says of it under `name`."""
        words = self._slurm.run("scontrol", "show", "job", "--oneliner", str(self.number)).split()
        return next(word.removeprefix(f"{name}=") for word in words if word.startswith(f"{name}="))

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text() if self._output.exists() else ""


def test_a_job_runs_and_its_output_is_there(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = Submitted(slurm, tmp_path, "echo on $SLURMD_NODENAME")
    job.wait("COMPLETED")
    assert job.output.removeprefix("on ").strip() in slurm.nodes


def test_nodes_claim_the_configured_resources(slurm: SlurmCluster) -> None:
    lines = slurm.run("sinfo", "--noheader", "--Node", "--partition=normal", "--format=%N %c %m").splitlines()
    assert lines == [f"{node} 4 8000" for node in slurm.nodes]


def test_commands_of_the_session_talk_to_this_cluster(slurm: SlurmCluster) -> None:
    ended = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True)
    assert f"ClusterName             = {slurm.layout.name}\n" in ended.stdout


def test_a_child_with_too_much_memory_is_killed_and_the_shell_survives(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = Submitted(slurm, tmp_path, f"{_ALLOCATE}; echo status $?")
    job.wait("OUT_OF_MEMORY")
    assert "status 137\n" in job.output
    assert job.detail("ExitCode") == "0:125"


def test_a_child_that_asked_for_enough_memory_gets_it(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = Submitted(slurm, tmp_path, f"{_ALLOCATE}; echo status $?", "--mem=600")
    job.wait("COMPLETED")
    assert job.output == "status 0\n"


def test_a_job_that_takes_too_long_ends_with_timeout(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = Submitted(slurm, tmp_path, "sleep 1000", "--time=10")
    job.wait("RUNNING")
    slurm.expire(job.number)
    job.wait("TIMEOUT")
    assert "DUE TO TIME LIMIT" in job.output


def test_a_cancelled_job_ends_although_it_ignores_termination(slurm: SlurmCluster, tmp_path: Path) -> None:
    job = Submitted(slurm, tmp_path, "trap '' TERM; echo deaf; sleep 1000")
    wait_until(lambda: job.output == "deaf\n", _STATE_SECONDS)
    slurm.run("scancel", str(job.number))
    job.wait("CANCELLED")
    assert job.detail("ExitCode") == "0:9", f"killed {KILL_WAIT_SECONDS} s after it was asked to end"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--partition=nowhere"], "Invalid partition name specified"),
        (["--partition=inactive"], "Required partition not available"),
        (["--mem=9000"], "Requested node configuration is not available"),
        (["--partition=limited", "--mem=1001"], "Memory required by task is not available"),
        (["--partition=limited", "--nodes=1", "--cpus-per-task=3"], "Requested node configuration is not available"),
        (["--partition=short", "--time=6"], "Requested time limit is invalid"),
        (["--nodes=3"], "Node count specification invalid"),
    ],
)
def test_what_can_never_run_is_refused(slurm: SlurmCluster, tmp_path: Path, options: list[str], words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        Submitted(slurm, tmp_path, "true", *options)


def test_a_preempted_job_is_requeued_and_runs_again(slurm: SlurmCluster, tmp_path: Path) -> None:
    whole_node = ("--nodes=1", "--ntasks=1", "--cpus-per-task=4", f"--nodelist={slurm.nodes[0]}")
    job = Submitted(slurm, tmp_path, 'test "$SLURM_RESTART_COUNT" || sleep 1000', *whole_node)
    job.wait("RUNNING")
    Submitted(slurm, tmp_path, "true", "--partition=urgent", *whole_node).wait("COMPLETED")
    job.wait("COMPLETED")
    assert job.detail("Restarts") == "1"


def test_a_preempted_job_that_must_not_be_requeued_ends(slurm: SlurmCluster, tmp_path: Path) -> None:
    whole_node = ("--nodes=1", "--ntasks=1", "--cpus-per-task=4", f"--nodelist={slurm.nodes[0]}")
    job = Submitted(slurm, tmp_path, "sleep 1000", "--no-requeue", *whole_node)
    job.wait("RUNNING")
    Submitted(slurm, tmp_path, "true", "--partition=urgent", *whole_node).wait("COMPLETED")
    job.wait("PREEMPTED")


def test_a_job_fails_with_its_node(slurm: SlurmCluster, tmp_path: Path) -> None:
    node = slurm.nodes[1]
    job = Submitted(slurm, tmp_path, "sleep 1000", "--no-requeue", f"--nodelist={node}")
    job.wait("RUNNING")
    slurm.stop_node(node)
    job.wait("NODE_FAIL")
    assert not slurm.processes(node)
    slurm.start_node(node)
    after = Submitted(slurm, tmp_path, "true", f"--nodelist={node}")
    after.wait("COMPLETED")


def test_a_job_outlives_the_connection_to_its_node(slurm: SlurmCluster, tmp_path: Path) -> None:
    node = slurm.nodes[1]
    job = Submitted(slurm, tmp_path, "echo $$; sleep 1000", "--no-requeue", f"--nodelist={node}")
    pid = int(wait_until(lambda: job.output, _STATE_SECONDS))
    slurm.pause_node(node)
    job.wait("NODE_FAIL")
    assert _runs(pid)
    slurm.resume_node(node)
    wait_until(lambda: not _runs(pid), _STATE_SECONDS)


def test_a_paused_controller_does_not_answer_and_a_resumed_one_does(slurm: SlurmCluster) -> None:
    slurm.pause_controller()
    try:
        with pytest.raises(ClusterError):
            slurm.run("squeue")
    finally:
        slurm.resume_controller()
    assert slurm.run("squeue", "--noheader") == ""


def test_without_accounting_sacct_fails(slurm: SlurmCluster) -> None:
    with pytest.raises(ClusterError, match="Slurm accounting storage is disabled"):
        slurm.run("sacct")


def test_two_clusters_do_not_meet(slurm: SlurmCluster, tmp_path: Path) -> None:
    with SlurmCluster(nodes=1) as other:
        Submitted(other, tmp_path, "true").wait("COMPLETED")
        assert not set(other.nodes) & set(slurm.nodes)
        assert set(slurm.node_states()) == set(slurm.nodes)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with SlurmCluster(nodes=1) as cluster:
        layout = cluster.layout
        detached = f"setsid sleep 1000 & echo $! > {shlex.quote(str(note))}; sleep 1000"
        job = Submitted(cluster, tmp_path, f"trap '' TERM; {detached}")
        job.wait("RUNNING")
        wait_until(lambda: note.exists() and note.read_text(), _STATE_SECONDS)
        Submitted(cluster, tmp_path, "true", "--hold")
        started = cluster.processes(cluster.nodes[0])
        assert int(note.read_text()) in started
        assert list(CGROUP_MOUNT.glob(f"*/slurm_{layout.name}*"))
    assert not layout.directory.exists()
    assert not list(CGROUP_MOUNT.glob(f"*/slurm_{layout.name}*"))
    wait_until(lambda: not any(_runs(pid) for pid in started))
    assert layout.name not in _all_command_lines()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _all_command_lines() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

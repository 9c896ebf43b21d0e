"""What a real SLURM does to jobs that start, start again, or wait for a coordinator that is gone."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of, message_of
from climate_ref_prefect.transports.batch.schedulers.job_marks import new_mark
from climate_ref_prefect.transports.batch.schedulers.slurm.commands import MARK, SlurmCommands
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.slurm.cluster import SlurmCluster
from tests.slurm.programs import ClusterError
from tests.transports.job_executions import PATIENT, Open, Running, opening

pytestmark = pytest.mark.slow
STORE, ANOTHER = "a" * 32, "b" * 32


@pytest.fixture
def open_slurm(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the private cluster."""
    with opening(SlurmTransport, tmp_path / "shared") as open_one:
        yield open_one


def test_a_power_cut_while_four_jobs_start_gives_up_nothing(
    open_slurm: Open, prepare: Prepare, slurm: SlurmCluster, tmp_path: Path
) -> None:
    before, hold = slurm.jobs(), tmp_path / "hold"
    hold.touch()
    driving = open_slurm(prologue=(f"while [ -e {hold} ]; do sleep 0.2; done",))
    futures = [driving.start(*prepare("noop")) for _ in range(4)]
    wait_until(lambda: [state for job, state in slurm.jobs().items() if job not in before] == ["RUNNING"] * 4)
    nodes = Counter(slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%N").split())
    ((node, number),) = nodes.most_common(1)
    assert number >= 3
    slurm.stop_node(node)
    try:
        hold.unlink()
        outcomes = [future.result(PATIENT.timeout_seconds) for future in futures]
    finally:
        slurm.start_node(node)
    assert all(outcome.succeeded for outcome in outcomes), [outcome.failure for outcome in outcomes]


def test_a_job_that_starts_again_while_squeue_fails_runs_nothing_beside_what_it_ran(
    open_slurm: Open, prepare: Prepare, slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, programs, real = tmp_path / "away", tmp_path / "bin", shutil.which("squeue")
    programs.mkdir()
    (programs / "squeue").write_text(
        f'#!/bin/sh\n[ -e {away} ] && {{ echo "slurm_load_jobs error: Unable to contact" >&2; exit 1; }}\n'
        f'exec {real} "$@"\n'
    )
    (programs / "squeue").chmod(0o755)
    driving = open_slurm(rules={"max_jobs": 1, "idle_seconds": 60})
    running = Running(driving, prepare)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    away.touch()
    slurm.run("scontrol", "update", f"JobId={running.job_id}", "Requeue=1")
    slurm.run("scontrol", "requeue", running.job_id)
    wait_until(lambda: starts_again(slurm, running.job_id), 120)
    outcome = running.outcome()
    away.unlink()
    assert kind_of(outcome) is FailureKind.WORKER_LOST
    assert f"job {running.job_id} again" in message_of(outcome)
    again = driving.run(*prepare("noop"))
    assert again.succeeded, again.failure
    assert again.telemetry.transport_meta["job_id"] == running.job_id


def starts_again(slurm: SlurmCluster, job_id: str) -> bool:
    """Ask for an immediate start of a job that waits: SLURM may put it off again while it ends the first start."""
    said = slurm.run("scontrol", "show", "job", job_id)
    if "JobState=PENDING" in said:
        with suppress(ClusterError):  # It has started in the meantime.
            slurm.run("scontrol", "update", f"JobId={job_id}", "StartTime=now")
    return "JobState=RUNNING" in said and "Restarts=1" in said


def test_jobs_that_wait_for_a_coordinator_that_is_gone_are_withdrawn_by_the_next_one_of_the_store(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    def submit(owner: str, partition: str) -> int:
        script = tmp_path / "job.sh"
        options = (f"{MARK}{new_mark(owner)}", f"--partition={partition}", "--output=/dev/null", "--time=5")
        script.write_text("\n".join(["#!/bin/sh", *(f"#SBATCH {option}" for option in options), "sleep 300", ""]))
        return int(SlurmCommands().submit(script))

    runs, waits, others = submit(STORE, "normal"), submit(STORE, "down"), submit(ANOTHER, "down")
    wait_until(lambda: slurm.jobs()[runs] == "RUNNING")
    transport = SlurmTransport(shared_directory=tmp_path / "shared")
    transport.open(STORE)
    transport.close(20)
    wait_until(lambda: slurm.jobs()[waits] == "CANCELLED")
    assert (slurm.jobs()[runs], slurm.jobs()[others]) == ("RUNNING", "PENDING")
    slurm.run("scancel", str(runs), str(others))

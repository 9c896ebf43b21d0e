"""Each way for a job of SLURM to end has its failure kind, with the scheduler's words and the job's id."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of, message_of
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.slurm.cluster import SlurmCluster
from tests.transports.job_executions import PATIENT, PILOT, Open, Running, opening

pytestmark = pytest.mark.slow
OVER = ("COMPLETED", "CANCELLED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "PREEMPTED")


@pytest.fixture
def open_slurm(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the private cluster, and see that they leave no job."""
    with opening(SlurmTransport, tmp_path / "shared") as open_one:
        yield open_one
    wait_until(lambda: set(slurm.jobs().values()) <= set(OVER))


class TestDeaths:
    """The job goes while an execution runs in it."""

    def test_its_worker_is_killed(self, open_slurm: Open, prepare: Prepare, tmp_path: Path) -> None:
        running = Running(open_slurm(), prepare)
        (pilot,) = running_with(PILOT, tmp_path)
        os.kill(pilot, signal.SIGKILL)
        running.assert_ended(FailureKind.WORKER_LOST, "FAILED")

    def test_somebody_cancels_it(self, open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
        running = Running(open_slurm(), prepare)
        slurm.run("scancel", running.job_id)
        outcome = running.assert_ended(FailureKind.WORKER_LOST, "CANCELLED")
        assert outcome.failure is not None
        assert "asked to end" in outcome.failure.details
        assert outcome.telemetry.transport_meta["node"] == running.node
        assert float(str(outcome.telemetry.transport_meta["queue_wait_seconds"])) >= 0

    def test_its_walltime_is_over(self, open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
        running = Running(open_slurm(), prepare)
        slurm.expire(int(running.job_id))
        running.assert_ended(FailureKind.TIMEOUT, "TIMEOUT")

    def test_its_node_goes_down(self, open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
        running = Running(open_slurm(), prepare)
        slurm.stop_node(running.node)
        try:
            running.assert_ended(FailureKind.WORKER_LOST, "NODE_FAIL")
        finally:
            slurm.start_node(running.node)

    def test_more_urgent_work_takes_its_place(self, open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
        running = Running(open_slurm(), prepare)
        options = ("--partition=urgent", "--time=1", "--output=/dev/null", "--nodes=2", "--exclusive")
        job_id = slurm.run("sbatch", "--parsable", *options, "--wrap", "sleep 60").strip()
        try:
            running.assert_ended(FailureKind.WORKER_LOST, "PREEMPTED")
        finally:
            slurm.run("scancel", job_id)

    def test_the_kernel_kills_for_lack_of_memory(self, open_slurm: Open, prepare: Prepare) -> None:
        limits = QUICK.model_copy(update={"memory_tolerance": None})  # so that the job's own limit is what it meets
        driving = open_slurm(sizing={"headroom_mb": 128})
        outcome = driving.run(*prepare("allocate", limits=limits, memory_mb=64))
        assert kind_of(outcome) is FailureKind.OUT_OF_MEMORY
        assert "The kernel killed" in message_of(outcome)


class TestRefusals:
    """No job can be had."""

    @pytest.mark.parametrize(
        ("queue", "memory_mb", "words"),
        [
            ("nosuch", 256, "Invalid partition"),
            (None, 90_000, "Requested node configuration is not available"),
            ("limited", 2_000, "Memory required by task is not available"),
        ],
    )
    def test_a_job_that_will_never_run(
        self, open_slurm: Open, prepare: Prepare, queue: str | None, memory_mb: int, words: str
    ) -> None:
        driving = open_slurm(queue)
        outcomes = driving.run_all([prepare("noop", memory_mb=memory_mb) for _ in range(3)])
        assert {kind_of(outcome) for outcome in outcomes} == {FailureKind.SUBMISSION_REFUSED}
        assert {words in message_of(outcome) for outcome in outcomes} == {True}, outcomes[0].failure
        assert driving.run(*prepare("noop", memory_mb=100 if queue is None else memory_mb)).succeeded is (queue is None)

    def test_a_job_that_the_site_takes_and_never_starts(
        self, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with SlurmCluster(nodes=1, settings={"EnforcePartLimits": "NO"}) as lenient:
            for name, value in lenient.environment.items():
                monkeypatch.setenv(name, value)
            with opening(SlurmTransport, tmp_path / "shared") as open_one:
                outcome = open_one("limited").run(*prepare("noop", memory_mb=2_000))
            assert set(lenient.jobs().values()) == {"CANCELLED"}
        assert kind_of(outcome) is FailureKind.SUBMISSION_REFUSED
        assert "SLURM will never start job" in message_of(outcome)
        # SLURM gives the one reason at first and the other once it has tried to start the job.
        assert any(reason in message_of(outcome) for reason in ("MaxMemPerLimit", "PartitionConfig"))

    def test_a_job_that_waits_for_too_long_is_reported_and_given_up(
        self, open_slurm: Open, prepare: Prepare, caplog: pytest.LogCaptureFixture
    ) -> None:
        driving = open_slurm("down", rules={"pending_report": "PT1S", "pending_limit": "PT4S"})
        outcome = driving.run(*prepare("noop"))
        assert kind_of(outcome) is FailureKind.UNAVAILABLE
        assert "PartitionDown" in message_of(outcome)
        assert [record for record in caplog.messages if "has waited for" in record and "PartitionDown" in record]

    def test_jobs_whose_workers_never_connect(self, open_slurm: Open, prepare: Prepare) -> None:
        driving = open_slurm(prologue=("echo the module system is down; exit 3",))
        outcome = driving.run(*prepare("noop"))
        assert kind_of(outcome) is FailureKind.UNAVAILABLE
        assert "3 SLURM jobs" in message_of(outcome)
        assert "FAILED" in message_of(outcome)

    def test_jobs_too_small_for_their_own_worker(self, open_slurm: Open, prepare: Prepare) -> None:
        driving = open_slurm(sizing={"headroom_mb": 0})
        outcome = driving.run(*prepare("noop", memory_mb=16))
        assert kind_of(outcome) is FailureKind.OUT_OF_MEMORY
        assert "OUT_OF_MEMORY" in message_of(outcome)


def test_a_scheduler_that_does_not_answer_for_a_while(open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
    driving = open_slurm()
    running = Running(driving, prepare)
    slurm.pause_controller()
    try:
        others = [driving.start(*prepare("writing")) for _ in range(3)]
        running.go_on()
        assert running.outcome().succeeded
    finally:
        slurm.resume_controller()
    assert all(future.result(PATIENT.timeout_seconds).succeeded for future in others)

"""Jobs are shared, never for longer than their walltime, and end when they are not needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of, message_of
from climate_ref_prefect.transports.batch.dask.pilot_worker import STARTED
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.slurm.accounting import ACCOUNTS
from tests.slurm.cluster import SlurmCluster
from tests.transports.job_executions import PATIENT, Open, Running, opening

pytestmark = pytest.mark.slow
TWELVE_MINUTES = {"walltime_margin": "PT1M"}
"""With this margin, limits of 600 and 650 s both make jobs of 720 s."""


@pytest.fixture
def open_slurm(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the private cluster, with a single job unless they say otherwise."""
    with opening(SlurmTransport, tmp_path / "shared") as open_one:
        yield lambda rules=None, **settings: open_one(rules={"max_jobs": 1, **(rules or {})}, **settings)


def job_of(outcome: ExecutionOutcome) -> str:
    assert outcome.succeeded, outcome.failure
    return str(outcome.telemetry.transport_meta["job_id"])


def test_one_job_runs_many(open_slurm: Open, prepare: Prepare) -> None:
    outcomes = open_slurm().run_all([prepare("noop") for _ in range(8)])
    assert len({job_of(outcome) for outcome in outcomes}) == 1


def test_a_job_is_given_nothing_that_it_could_not_finish(open_slurm: Open, prepare: Prepare, tmp_path: Path) -> None:
    first_is_old = f"if mkdir {tmp_path}/first; then export {STARTED}=$(($(date +%s) - 100)); fi"
    driving = open_slurm(sizing=TWELVE_MINUTES, prologue=(first_is_old,))
    short, long = (driving.run(*prepare("noop", wall_clock_seconds=seconds)) for seconds in (600, 650))
    asked = {outcome.telemetry.transport_meta["job_walltime_seconds"] for outcome in (short, long)}
    assert asked == {720}
    assert job_of(short) != job_of(long)


def test_idle_jobs_end_and_new_ones_are_submitted(open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
    driving = open_slurm({"idle_seconds": 0.5})
    job = job_of(driving.run(*prepare("noop")))
    wait_until(lambda: slurm.jobs()[int(job)] == "COMPLETED")
    assert job_of(driving.run(*prepare("noop"))) != job


def test_people_can_read_what_a_job_is(open_slurm: Open, prepare: Prepare, slurm: SlurmCluster) -> None:
    running = Running(open_slurm(job_name="cmip"), prepare, cpu=2)
    assert slurm.run("squeue", "--noheader", f"--jobs={running.job_id}", "--format=%j").strip() == "cmip-2c-0.75G-0.1h"
    running.go_on()
    assert running.outcome().succeeded


def test_a_whole_node_runs_several_at_a_time(open_slurm: Open, prepare: Prepare) -> None:
    driving = open_slurm(sizing={"slots_per_job": 2})
    pair = [Running(driving, prepare) for _ in range(2)]
    for running in pair:
        running.go_on()
    assert len({job_of(running.outcome()) for running in pair}) == 1


def test_a_submission_without_an_answer_leaves_no_second_job(
    open_slurm: Open, prepare: Prepare, slurm: SlurmCluster, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(slurm.jobs())
    driving = open_slurm()
    slurm.pause_controller()
    try:
        directory, resources = prepare("noop")
        future = driving.start(directory, resources)
        wait_until(lambda: [words for words in caplog.messages if "accepts no job now" in words])
    finally:
        slurm.resume_controller()
    job = int(job_of(future.result(PATIENT.timeout_seconds)))
    known = {*before, job}
    gone = {"CANCELLED", "COMPLETED"}  # cancelled before or after its worker has connected
    wait_until(lambda: {state for number, state in slurm.jobs().items() if number not in known} <= gone)


class TestAccounts:
    """Where the site keeps accounts."""

    @pytest.fixture(scope="class")
    @staticmethod
    def cluster() -> Iterator[SlurmCluster]:
        with SlurmCluster(nodes=1, accounting=True) as cluster, pytest.MonkeyPatch.context() as environment:
            for name, value in cluster.environment.items():
                environment.setenv(name, value)
            yield cluster

    @pytest.fixture
    def open_there(self, cluster: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
        with opening(SlurmTransport, tmp_path / "shared") as open_one:
            yield open_one

    def test_a_job_that_was_killed_has_its_use_recorded(
        self, open_there: Open, prepare: Prepare, cluster: SlurmCluster
    ) -> None:
        running = Running(open_there(), prepare)
        cluster.run("scancel", running.job_id)
        outcome = running.assert_ended(FailureKind.WORKER_LOST, "CANCELLED by")
        meta = outcome.telemetry.transport_meta
        assert str(meta["job_state"]).startswith("CANCELLED by")
        assert float(str(meta["job_wall_seconds"])) >= 1
        assert float(str(meta["job_cpu_seconds"])) > 0

    @pytest.mark.parametrize(("qos", "flags"), [("minute", ()), ("strictminute", ("Flags=DenyOnLimit",))])
    def test_a_limit_per_job_of_a_qos_is_final_whether_the_site_takes_the_job_or_not(
        self, open_there: Open, prepare: Prepare, cluster: SlurmCluster, qos: str, flags: tuple[str, ...]
    ) -> None:
        cluster.run("sacctmgr", "--immediate", "add", "qos", qos, "MaxWall=00:01:00", *flags)
        cluster.run("sacctmgr", "--immediate", "modify", "account", next(iter(ACCOUNTS)), "set", f"qos+={qos}")
        outcome = open_there(qos=qos).run(*prepare("noop", wall_clock_seconds=600))
        assert kind_of(outcome) is FailureKind.SUBMISSION_REFUSED
        assert "QOSMaxWallDurationPerJobLimit" in message_of(outcome)

    def test_an_unknown_account_is_refused(self, open_there: Open, prepare: Prepare) -> None:
        outcome = open_there(account="nosuch").run(*prepare("noop"))
        assert kind_of(outcome) is FailureKind.SUBMISSION_REFUSED
        assert "Invalid account" in message_of(outcome)

    def test_a_limit_on_jobs_holds_back_and_refuses_nothing(
        self, open_there: Open, prepare: Prepare, cluster: SlurmCluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert "MaxSubmitJobs=2" in ACCOUNTS["small"]
        driving = open_there(account="small", rules={"max_jobs": 4, "executions_per_job": 1})
        outcomes = driving.run_all([prepare("noop") for _ in range(5)])
        assert all(outcome.succeeded for outcome in outcomes)
        assert [words for words in caplog.messages if "accepts no job now" in words]

    def test_a_limit_that_jobs_of_others_fill_is_waited_for(
        self, open_there: Open, prepare: Prepare, cluster: SlurmCluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        others = [
            cluster.run("sbatch", "--parsable", "-A", "small", "-t", "5", "--output=/dev/null", "--wrap", "sleep 300")
            for _ in range(2)
        ]
        driving = open_there(account="small", rules={"max_jobs": 20})
        futures = [driving.start(*prepare("noop")) for _ in range(20)]
        wait_until(lambda: [words for words in caplog.messages if "accepts no job now" in words])
        cluster.run("scancel", *(other.strip() for other in others))
        assert all(future.result(PATIENT.timeout_seconds).succeeded for future in futures)

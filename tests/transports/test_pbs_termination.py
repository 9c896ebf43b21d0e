"""Each way for a job of PBS to end has its failure kind, whether the site keeps a history of jobs or not."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of, message_of
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import NodeSettings, Settings
from tests.transports.job_executions import PATIENT, PILOT, Open, Running, opening

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
Told = Callable[[FailureKind, str], tuple[FailureKind, str]]
GONE = "Unknown Job Id"
"""All that a site says without history."""


@pytest.fixture(params=[True, False], ids=["history", "no history"])
def history(request: pytest.FixtureRequest) -> bool:
    """Whether the site keeps a history of its jobs."""
    return bool(request.param)


@pytest.fixture
def cluster(history: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsCluster]:  # noqa: FBT001 - a fixture
    """Start a site of our own."""
    settings = Settings(nodes=(NodeSettings("pbsvm", ncpus=4),), history=history, kill_delay_seconds=2.0)
    with PbsCluster(settings) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        yield site


@pytest.fixture
def open_pbs(cluster: PbsCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the site, and see that they leave no job."""
    with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
        yield open_one
    wait_until(lambda: all(job.finished for job in cluster.jobs()))


@pytest.fixture
def told(history: bool) -> Told:  # noqa: FBT001 - a fixture
    """Return what can be known of an end: without history, only that the job is gone."""
    return lambda kind, words: (kind, words) if history else (FailureKind.WORKER_LOST, GONE)


class Hasty(PbsTransport):
    """At a site that gives less time than it is asked for."""

    def sized(self, size: JobSize) -> dict[str, Any]:
        return {**super().sized(size), "walltime": "00:00:08"}


class TestDeaths:
    """The job goes while an execution runs in it."""

    def test_its_worker_is_killed(
        self, open_pbs: Open, prepare: Prepare, cluster: PbsCluster, told: Told, tmp_path: Path
    ) -> None:
        running = Running(open_pbs(), prepare)
        (pilot,) = running_with(PILOT, tmp_path)
        os.kill(pilot, signal.SIGKILL)
        running.assert_ended(*told(FailureKind.KILLED, "and failed"))

    def test_somebody_deletes_it(self, open_pbs: Open, prepare: Prepare, cluster: PbsCluster, told: Told) -> None:
        running = Running(open_pbs(), prepare)
        cluster.run("qdel", running.job_id)
        running.assert_ended(*told(FailureKind.WORKER_LOST, "and terminated"))

    def test_its_walltime_is_over(self, open_pbs: Open, prepare: Prepare, told: Told) -> None:
        running = Running(open_pbs(kind=Hasty), prepare)
        running.assert_ended(*told(FailureKind.TIMEOUT, "exceeded resource walltime"))

    def test_its_node_fails(self, open_pbs: Open, prepare: Prepare, cluster: PbsCluster, told: Told) -> None:
        running = Running(open_pbs(), prepare)
        cluster.misbehave.fail_node(running.job_id)
        running.assert_ended(*told(FailureKind.WORKER_LOST, ""))


class TestRefusals:
    """No job can be had."""

    @pytest.mark.parametrize(
        ("queue", "memory_mb", "said"),
        [("nosuch", 256, "Unknown queue"), (None, 900_000, "Can Never Run")],
    )
    def test_a_job_that_will_never_run(
        self, open_pbs: Open, prepare: Prepare, queue: str | None, memory_mb: int, said: str
    ) -> None:
        outcome = open_pbs(queue).run(*prepare("noop", memory_mb=memory_mb))
        assert kind_of(outcome) is FailureKind.SUBMISSION_REFUSED
        assert said in message_of(outcome)

    def test_jobs_whose_workers_never_connect(self, open_pbs: Open, prepare: Prepare) -> None:
        outcome = open_pbs(prologue=("echo the module system is down; exit 3",)).run(*prepare("noop"))
        assert kind_of(outcome) is FailureKind.UNAVAILABLE
        assert "3 PBS jobs" in message_of(outcome)


def test_a_scheduler_that_does_not_answer_for_a_while(open_pbs: Open, prepare: Prepare, cluster: PbsCluster) -> None:
    driving = open_pbs()
    running = Running(driving, prepare)
    cluster.misbehave.go_down()
    others = [driving.start(*prepare("writing")) for _ in range(3)]
    running.go_on()
    assert running.outcome().succeeded
    cluster.misbehave.come_back()
    assert all(future.result(PATIENT.timeout_seconds).succeeded for future in others)


def test_a_site_that_enforces_memory(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = QUICK.model_copy(update={"memory_tolerance": None})  # so that the job's own limit is what it meets
    with PbsCluster(Settings(enforce_memory=True, kill_delay_seconds=2.0)) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
            driving = open_one(sizing={"headroom_mb": 256})
            outcome = driving.run(*prepare("allocate", limits=limits, memory_mb=128))
    assert kind_of(outcome) is FailureKind.OUT_OF_MEMORY
    assert "exceeded resource mem" in message_of(outcome)


def test_a_site_whose_login_shells_report_a_kill(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PbsCluster(Settings(login_shell=True, kill_delay_seconds=2.0)) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
            running = Running(open_one(), prepare)
            (pilot,) = running_with(PILOT, tmp_path)
            os.kill(pilot, signal.SIGKILL)
            running.assert_ended(FailureKind.KILLED, "and failed (Exit_status 137)")


def test_a_job_that_asks_for_more_than_a_node_has_waits(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = (NodeSettings("pbsvm", ncpus=8), NodeSettings("node2", ncpus=4))
    with PbsCluster(Settings(nodes=nodes)) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
            driving = open_one(rules={"pending_limit": "PT3S"})
            waits, never = (driving.run(*prepare("noop", cpu=cpu)) for cpu in (9, 13))
    assert kind_of(waits) is FailureKind.UNAVAILABLE
    assert "(R: 9 A: 4 T: 12)" in message_of(waits)
    assert kind_of(never) is FailureKind.SUBMISSION_REFUSED

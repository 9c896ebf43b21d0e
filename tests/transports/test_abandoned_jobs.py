"""Queued jobs of a coordinator that has ended are cancelled by the next one of the same store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.abandoned_jobs import withdraw_waiting_jobs
from climate_ref_prefect.transports.batch.schedulers.job_marks import new_mark
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import MARK, PbsCommands
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import NodeSettings, Settings

STORE, ANOTHER = "a" * 32, "b" * 32


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PbsCluster]:
    """Start a site with one node of one processor, so that one job runs and the others wait."""
    monkeypatch.chdir(tmp_path)
    with PbsCluster(Settings(nodes=(NodeSettings("pbsvm", ncpus=1),), kill_delay_seconds=0.2)) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        yield site


def submit(cluster: PbsCluster, mark: str) -> str:
    script = cluster.home / "job.sh"
    script.write_text(f"#!/bin/bash\n#PBS -N job -r n -v {MARK}={mark}\nsleep 60\n")
    return PbsCommands().submit(script)


def living(cluster: PbsCluster) -> list[str]:
    return [job.job_id for job in cluster.jobs() if not job.finished]


def test_only_those_of_the_store_that_have_not_started(cluster: PbsCluster) -> None:
    runs = submit(cluster, new_mark(STORE))
    wait_until(lambda: cluster.job(runs).state == "R")
    waits, others, own = submit(cluster, new_mark(STORE)), submit(cluster, new_mark(ANOTHER)), new_mark(STORE)
    mine, nobodys = submit(cluster, own), submit(cluster, new_mark(""))
    assert withdraw_waiting_jobs(PbsCommands(), STORE, {own}) == [waits]
    assert living(cluster) == [runs, others, mine, nobodys]
    assert withdraw_waiting_jobs(PbsCommands(), STORE, {own}) == []


def test_a_transport_that_is_opened_for_the_store_withdraws_them(cluster: PbsCluster, tmp_path: Path) -> None:
    submit(cluster, new_mark(ANOTHER))
    submit(cluster, new_mark(STORE))
    transport = PbsTransport(shared_directory=tmp_path / "shared")
    transport.open(STORE)
    transport.close(20)
    assert len(living(cluster)) == 1


def test_a_scheduler_that_does_not_answer_is_left_alone(cluster: PbsCluster) -> None:
    submit(cluster, new_mark(STORE))
    cluster.misbehave.go_down()
    assert withdraw_waiting_jobs(PbsCommands(), STORE, ()) == []

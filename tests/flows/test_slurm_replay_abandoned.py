"""What a killed coordinator leaves behind on a real SLURM: the next solve settles what has ended."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.replay_abandoned import replay_abandoned
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.flows.cluster_provider import started
from tests.flows.slurm_site import PROVIDER, assert_goes_on, jobs_in, pilot_of, solving, transport_to
from tests.flows.temporary_site import Site
from tests.slurm.cluster import SlurmCluster
from tests.slurm.configuration import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB", "ModelC")
ALL = ("queued", "small", "waits-for-go")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where keys of transports and the output of jobs go."""
    return tmp_path / "shared"


def run_of(site: Site, model: str) -> ExecutionDirectory:
    """Return where the diagnostic that waits runs for a model."""
    (run,) = [run for run in site.runs("waits-for-go") if run.key == model]
    return ExecutionDirectory(Path(run.directory))


def job_of(site: Site, model: str) -> int:
    """Return its job."""
    claim = run_of(site, model).read_claim()
    assert claim is not None
    return int(claim.job_id)


def waiting(site: Site, *models: str) -> list[Path]:
    """Return the notes that the diagnostic that waits has begun."""
    return [started(site.notes, "waits-for-go", model) for model in models]


def test_what_runs_goes_on_and_is_taken_in_when_it_has_ended(site: Site, shared: Path, slurm: SlurmCluster) -> None:
    site.add_models(*MODELS)
    rules = {"idle_seconds": 600, "max_jobs": 9}
    with solving(site, shared, *ALL, tagged="down", death_timeout_seconds=3, rules=rules) as coordinator:
        coordinator.wait_until_it_holds(*waiting(site, *MODELS))
        wait_until(lambda: sum(bool(row.successful) for row in site.attempts("small")) == len(MODELS))
        queued = wait_until(lambda: jobs_in(slurm, "PENDING"))
        coordinator.interrupt(signal.SIGKILL)
    busy = {model: job_of(site, model) for model in MODELS}
    wait_until(lambda: set(jobs_in(slurm, "RUNNING")) == set(busy.values()))  # who was idle goes
    with partition_up(slurm):
        wait_until(lambda: not set(queued).intersection(jobs_in(slurm, "PENDING", "RUNNING")))

    report = site.solve("small", "waits-for-go", providers=[PROVIDER], transport=transport_to(shared)).report
    assert report.executions == ()
    assert report.leftovers.settled == len(MODELS)
    assert set(report.leftovers.elsewhere) == {f"cluster/waits-for-go/{model}" for model in MODELS}
    assert "3 left alone" in report.headline()
    assert not report.ok
    assert set(busy.values()) == set(jobs_in(slurm, "RUNNING"))

    slurm.run("scancel", str(busy["ModelB"]))
    pilot = pilot_of(slurm, busy["ModelC"])
    assert pilot is not None
    os.kill(pilot, signal.SIGKILL)
    (site.notes / "go-ModelA").touch()
    wait_until(lambda: not jobs_in(slurm, "RUNNING", "COMPLETING"))
    report = assert_goes_on(site, shared, slurm, *ALL)
    assert report.leftovers.settled == len(MODELS)
    assert Counter(run.key for run in site.runs("waits-for-go")) == {"ModelA": 1, "ModelB": 2, "ModelC": 2}
    assert [row.diagnostic for row in site.attempts() if row.attempt > 1 and row.diagnostic == "small"] == []
    for model in ("ModelB", "ModelC"):
        first, second = site.attempts("waits-for-go", model)
        assert (first.retryable, first.counted, second.replaces) == (True, False, first.execution_id)


def test_what_may_not_outlive_its_coordinator_is_stopped(site: Site, shared: Path, slurm: SlurmCluster) -> None:
    site.add_models("ModelA")
    with solving(site, shared, "waits-for-go", outlive_coordinator=False) as coordinator:
        coordinator.wait_until_it_holds(*waiting(site, "ModelA"))
        coordinator.interrupt(signal.SIGKILL)
    wait_until(lambda: not jobs_in(slurm, "RUNNING", "COMPLETING"))
    with shown_late(run_of(site, "ModelA").path / "outcome.json", site):
        assert_goes_on(site, shared, slurm, "waits-for-go", outcome_patience_seconds=60)
    first, second = site.attempts()
    assert (first.failure_kind, first.retryable) == (FailureKind.CANCELLED, True)
    assert second.replaces == first.execution_id


def test_an_execution_whose_end_is_unknown_is_left_alone(site: Site, shared: Path, slurm: SlurmCluster) -> None:
    site.add_models("ModelA")
    with solving(site, shared, "waits-for-go") as coordinator:
        coordinator.wait_until_it_holds(*waiting(site, "ModelA"))
        coordinator.interrupt(signal.SIGKILL)
    with node_out_of_reach(slurm, job_of(site, "ModelA")):
        for transport in (transport_to(shared), LocalTransport(limits=QUICK)):
            report = site.solve("waits-for-go", providers=[PROVIDER], transport=transport).report
            assert report.leftovers.elsewhere == ("cluster/waits-for-go/ModelA",)
        assert_named_and_left_alone(transport_to(shared))
        (site.notes / "go").touch()
        assert wait_until(run_of(site, "ModelA").read_outcome).succeeded
        assert [row.successful for row in replay_abandoned(LocalTransport()).settled] == [True]
        assert site.attempts()[0].results_path is not None
    site.add_models("ModelB")
    report = assert_goes_on(site, shared, slurm, "waits-for-go")
    assert report.leftovers.settled == 0
    assert [(row.key, row.attempt) for row in site.attempts()] == [("ModelA", 1), ("ModelB", 1)]


def assert_named_and_left_alone(own: Transport) -> None:
    """Hold that a recovery says of which transport an execution is that may still run, and how to settle it."""
    report = replay_abandoned(own)
    assert [row.label for row in report.running] == ["cluster/waits-for-go/ModelA"]
    assert "1 may still run" in report.headline()
    report = replay_abandoned(LocalTransport())
    assert [row.label for row in report.elsewhere] == ["cluster/waits-for-go/ModelA"]
    assert not report.settled
    assert "`climate-ref-prefect recover --transport PROFILE`, with the site profile of the kind slurm" in str(
        report._repr_html_()
    )


def test_a_job_of_a_dead_coordinator_is_not_taken_for_one_of_the_next(
    site: Site, shared: Path, slurm: SlurmCluster
) -> None:
    site.add_models("ModelA", "ModelB")
    (port,) = free_ports(1)
    settings = {"tagged": "down", "tls": False, "ports": [port, port]}
    with solving(site, shared, "queued", **settings) as coordinator:
        coordinator.wait_until_it_holds()
        wait_until(lambda: len(jobs_in(slurm, "PENDING")) == 2)
        queued = jobs_in(slurm, "PENDING")
        coordinator.interrupt(signal.SIGKILL)
    with partition_up(slurm):
        wait_until(lambda: set(jobs_in(slurm, "RUNNING")) == set(queued))
        assert_goes_on(site, shared, slurm, "queued", **settings)
    claims = [ExecutionDirectory(Path(run.directory)).read_claim() for run in site.runs()]
    assert not set(queued).intersection(int(claim.job_id) for claim in claims if claim)


@contextmanager
def shown_late(path: Path, site: Site) -> Iterator[None]:
    """Show a file only a second after a coordinator has started, as a network file system may."""
    hidden = path.rename(path.with_suffix(".hidden"))

    def show() -> None:
        wait_until(site.holder)
        time.sleep(1)
        hidden.rename(path)

    showing = threading.Thread(target=show)
    showing.start()
    yield
    showing.join()


@contextmanager
def partition_up(cluster: SlurmCluster) -> Iterator[None]:
    """Let jobs start in the partition in which none starts."""
    cluster.run("scontrol", "update", "PartitionName=down", "State=UP")
    yield
    cluster.run("scontrol", "update", "PartitionName=down", "State=DOWN")


@contextmanager
def node_out_of_reach(cluster: SlurmCluster, job: int) -> Iterator[None]:
    """Have the node of a job not answer, and the scheduler take it for down."""
    node = cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()
    cluster.pause_node(node)
    cluster.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=unreachable")
    wait_until(lambda: cluster.jobs()[job] == "NODE_FAIL")
    yield
    cluster.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    cluster.resume_node(node)

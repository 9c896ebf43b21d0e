"""A coordinator on a real SLURM that gets a signal: within seconds no job is left, and the next solve goes on."""

import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import InfrastructureFaultError
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.cluster_provider import started
from tests.flows.coordinator_processes import Coordinator
from tests.flows.slurm_site import PROVIDER, assert_goes_on, assert_nothing_is_left, jobs_in, solving, transport_to
from tests.flows.temporary_site import Site
from tests.flows.tmpfs_disk import Disk
from tests.prefect_server import cancel_flow_run, state_of
from tests.slurm.cluster import SlurmCluster

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB")
DIAGNOSTICS = ("waits-for-go", "queued")
CODES = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGHUP: -signal.SIGTERM}


@pytest.fixture
def site(site: Site) -> Site:
    """A site with some models."""
    site.add_models(*MODELS)
    return site


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where keys of transports and the output of jobs go."""
    return tmp_path / "shared"


def busy(site: Site, shared: Path) -> AbstractContextManager[Coordinator]:
    """Start a coordinator with jobs that run, and jobs that will never start."""
    return solving(site, shared, *DIAGNOSTICS, tagged="down")


def wait_until_busy(coordinator: Coordinator, cluster: SlurmCluster) -> None:
    """Wait until there are both."""
    site = coordinator.site
    coordinator.wait_until_it_holds(*(started(site.notes, "waits-for-go", model) for model in MODELS))
    wait_until(lambda: len(jobs_in(cluster, "PENDING")) == len(MODELS))


def assert_cancelled(site: Site) -> None:
    assert {row.failure_kind for row in site.attempts()} == {FailureKind.CANCELLED}
    assert {(row.retryable, row.counted) for row in site.attempts()} == {(True, False)}


@pytest.mark.parametrize("number", CODES)
def test_it_is_signalled(site: Site, shared: Path, slurm: SlurmCluster, number: signal.Signals) -> None:
    with busy(site, shared) as coordinator:
        wait_until_busy(coordinator, slurm)
        assert coordinator.interrupt(number) == CODES[number], coordinator.said
        assert "Traceback" not in coordinator.said
    assert_nothing_is_left(slurm, shared)
    assert_cancelled(site)
    assert_goes_on(site, shared, slurm, *DIAGNOSTICS)


def test_its_flow_run_is_cancelled(site: Site, shared: Path, slurm: SlurmCluster) -> None:
    with busy(site, shared) as coordinator:
        wait_until_busy(coordinator, slurm)
        holder = site.holder()
        assert holder is not None
        flow_run_id = UUID(holder.flow_run_id)
        cancel_flow_run(flow_run_id)
        assert coordinator.wait() == 1, coordinator.said
        assert "climate-ref-prefect: The flow run was cancelled." in coordinator.said
    assert state_of(flow_run_id) is StateType.CANCELLED
    assert_nothing_is_left(slurm, shared)
    assert_cancelled(site)
    assert_goes_on(site, shared, slurm, *DIAGNOSTICS)


def test_it_is_interrupted_while_it_submits(
    site: Site, shared: Path, slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\nsleep 0.5\nexec /usr/bin/sbatch "$@"\n')
    slow.chmod(0o755)
    (tmp_path / "scripts").mkdir()
    before = set(slurm.jobs())
    with monkeypatch.context() as environment:
        environment.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
        environment.setenv("TMPDIR", str(tmp_path / "scripts"))
        with solving(site, shared, "good", "small", *DIAGNOSTICS) as coordinator:
            wait_until(lambda: set(slurm.jobs()) - before, 60)
            assert coordinator.interrupt(signal.SIGINT) == CODES[signal.SIGINT], coordinator.said
            assert "Traceback" not in coordinator.said
    assert_nothing_is_left(slurm, shared)
    assert not list((tmp_path / "scripts").glob("ref-*"))
    assert len(set(slurm.jobs()) - before) <= 2


def test_a_full_disk_ends_it(site: Site, shared: Path, slurm: SlurmCluster, disk: Disk, tmp_path: Path) -> None:
    places = {"home": disk.path, "scratch": tmp_path / "scratch", "results": tmp_path / "results"}
    site.configure(**places, house_patience="PT2S")

    def fill_disk() -> None:
        wait_until(lambda: all(started(site.notes, "waits-for-go", model).exists() for model in MODELS), 60)
        disk.fill()
        (site.notes / "go").touch()

    filling = threading.Thread(target=fill_disk)
    filling.start()
    # The solve does not wait for jobs that only wait in a queue.
    with pytest.raises(InfrastructureFaultError, match="full"):
        site.solve(*DIAGNOSTICS, providers=[PROVIDER], transport=transport_to(shared, tagged="down"))
    filling.join()
    assert_nothing_is_left(slurm, shared)
    disk.free()
    assert site.dirty()
    assert_goes_on(site, shared, slurm, *DIAGNOSTICS)


@pytest.mark.parametrize("pause_seconds", [0, 0.1, 0.5])
def test_interrupted_twice_by_the_user(site: Site, shared: Path, slurm: SlurmCluster, pause_seconds: float) -> None:
    with busy(site, shared) as coordinator:
        wait_until_busy(coordinator, slurm)
        os.killpg(coordinator.pid, signal.SIGINT)
        time.sleep(pause_seconds)
        coordinator.interrupt(signal.SIGINT)
    assert_nothing_is_left(slurm, shared)
    assert_goes_on(site, shared, slurm, *DIAGNOSTICS)

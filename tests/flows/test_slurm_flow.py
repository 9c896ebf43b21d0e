"""Whole solves on a real SLURM: what is recorded of them, what is tried again, and how a site is chosen."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.objects import TERMINAL_STATES

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows import solve as flows
from climate_ref_prefect.flows.lifecycle.transport_failure import TransportFailedError
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.cluster_provider import started
from tests.flows.coordinator_processes import run_command
from tests.flows.slurm_site import PROVIDER, assert_each_ran_once, assert_nothing_is_left, transport_to, write_profile
from tests.flows.task_run_states import assert_runs_ended_as_recorded
from tests.flows.temporary_site import AttemptRow, Site, Solved, minutes
from tests.prefect_server import task_runs
from tests.slurm.cluster import SlurmCluster

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ENDINGS = ("good", "hungry", "late", "own-error", "stopped", "too-large")
FINE = {"good", "hungry", "late", "stopped"}


@pytest.fixture(scope="module")
def ended(
    slurm: SlurmCluster, tmp_path_factory: pytest.TempPathFactory, prefect_server: object
) -> Iterator[tuple[Site, Solved]]:
    """One solve in which an execution ends in every way that a cluster adds to those there are."""
    directory = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as environment:
        site = Site(directory / "site", environment)
        site.add_models("ModelA")
        cancelling = threading.Thread(target=cancel_a_job, args=(site, slurm))
        cancelling.start()
        solved = site.solve(*ENDINGS, providers=[PROVIDER], transport=transport_to(directory / "shared"))
        cancelling.join()
        assert_nothing_is_left(slurm, directory / "shared")
        yield site, solved


def cancel_a_job(site: Site, cluster: SlurmCluster) -> None:
    """Do what an operator does to the job of the execution that waits to be stopped."""
    wait_until(started(site.notes, "stopped", "ModelA").exists, 60)
    (run,) = site.runs("stopped")
    claim = ExecutionDirectory(Path(run.directory)).read_claim()
    assert claim is not None
    cluster.run("scancel", claim.job_id)


@pytest.fixture
def attempts(ended: tuple[Site, Solved], monkeypatch: pytest.MonkeyPatch) -> dict[str, list[AttemptRow]]:
    """The attempts of each diagnostic in that solve."""
    site, _ = ended
    monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(site.home))
    return {diagnostic: site.attempts(diagnostic) for diagnostic in ENDINGS}


class TestRecord:
    """What is recorded of each way to end."""

    def test_everything_is_finalised_and_results_are_ingested(
        self, ended: tuple[Site, Solved], attempts: dict[str, list[AttemptRow]]
    ) -> None:
        site, solved = ended
        site.assert_settled()
        assert_each_ran_once(site)
        assert site.dirty() == set()
        assert {row.diagnostic for row in solved.report.failed} == set(ENDINGS) - FINE
        with site.store() as store:
            for diagnostic in FINE:
                last = attempts[diagnostic][-1]
                assert last.successful
                assert len(store.scalars([last.execution_id])) == 2
                assert len(store.series([last.execution_id])) == 1

    def test_task_runs_are_final_and_end_as_recorded(self, ended: tuple[Site, Solved]) -> None:
        site, solved = ended
        shown = task_runs(solved.flow_run_id)
        assert solved.report.recorded.complete
        assert len(shown) == solved.report.recorded.finished
        assert {run.state_type for run in shown} <= TERMINAL_STATES
        assert_runs_ended_as_recorded(site, solved)

    def test_telemetry_contains_job_node_wait_and_requested_and_used_resources(
        self, ended: tuple[Site, Solved], slurm: SlurmCluster
    ) -> None:
        _, solved = ended
        for row in solved.report.executions:
            if row.diagnostic == "too-large":
                continue
            meta = row.telemetry_meta
            assert meta is not None
            assert int(str(meta["job_id"])) in slurm.jobs()
            assert meta["node"] in slurm.nodes
            assert meta["queue"] == "normal"
            assert float(str(meta["queue_wait_seconds"])) >= 0
            assert (meta["job_cpu"], meta["job_memory_mb"]) == (1, 320 if row.asked.memory_mb == 64 else 384)
            assert float(str(meta["job_walltime_seconds"])) >= 300 + row.asked.wall_clock_seconds
            assert row.duration_seconds is not None
            assert row.duration_seconds > 0
            assert row.peak_rss_mb is not None
        peaks = {row.diagnostic: row.peak_rss_mb or 0 for row in solved.report.executions if row.attempt == 1}
        assert peaks["hungry"] > 64

    def test_the_kernels_kill_for_lack_of_memory_grows_memory(self, attempts: dict[str, list[AttemptRow]]) -> None:
        first, second = attempts["hungry"]
        assert first.failure_kind == FailureKind.OUT_OF_MEMORY
        assert "The kernel killed" in str(first.message)
        assert (first.memory_mb, second.memory_mb) == (64, 128)
        assert first.wall_clock_seconds == second.wall_clock_seconds

    def test_a_timeout_grows_walltime(self, attempts: dict[str, list[AttemptRow]]) -> None:
        first, second = attempts["late"]
        assert first.failure_kind == FailureKind.TIMEOUT
        assert 2 * minutes(first) == minutes(second)
        assert first.memory_mb == second.memory_mb

    def test_what_the_site_cancels_is_tried_again_and_does_not_count(
        self, attempts: dict[str, list[AttemptRow]]
    ) -> None:
        first, second = attempts["stopped"]
        assert (first.failure_kind, first.retryable, first.counted) == (FailureKind.WORKER_LOST, True, False)
        assert "CANCELLED" in str(first.message)
        assert (second.replaces, second.memory_mb) == (first.execution_id, first.memory_mb)

    def test_the_providers_own_error_is_not_tried_again(self, attempts: dict[str, list[AttemptRow]]) -> None:
        (only,) = attempts["own-error"]
        assert (only.failure_kind, only.retryable) == (FailureKind.DIAGNOSTIC_ERROR, False)

    def test_a_refused_size_is_given_up_with_the_schedulers_message(
        self, attempts: dict[str, list[AttemptRow]]
    ) -> None:
        (only,) = attempts["too-large"]
        assert (only.failure_kind, only.retryable) == (FailureKind.SUBMISSION_REFUSED, False)
        assert "Requested node configuration is not available" in str(only.message)


class TestChoice:
    """A site profile is the same as its transport in Python."""

    @pytest.fixture
    def site(self, site: Site, tmp_path: Path) -> Site:
        """A site with a profile that is named `private`."""
        site.configure(sites=tmp_path / "sites")
        write_profile(tmp_path / "sites" / "private.yaml", tmp_path / "shared")
        site.add_models("ModelA")
        return site

    @pytest.fixture
    def expected(self, ended: tuple[Site, Solved]) -> bytes:
        """The values of the solve with the transport in Python."""
        (row,) = [row for row in ended[1].report.executions if row.diagnostic == "good"]
        return (Path(str(row.results_path)) / METRIC_BUNDLE).read_bytes()

    def assert_solved(self, site: Site, expected: bytes, cluster: SlurmCluster, tmp_path: Path) -> None:
        (row,) = site.attempts()
        assert row.successful
        assert (Path(str(row.results_path)) / METRIC_BUNDLE).read_bytes() == expected
        ((meta,),) = site.query("SELECT telemetry_meta FROM execution")
        assert json.loads(meta)["node"] in cluster.nodes
        assert_nothing_is_left(cluster, tmp_path / "shared")

    def test_as_a_parameter(self, site: Site, expected: bytes, slurm: SlurmCluster, tmp_path: Path) -> None:
        choice = {"kind": "site", "profile": "private"}
        report = flows.solve(str(site.data), [PROVIDER], ["good"], choice)  # type: ignore[call-overload]
        assert isinstance(report, SolveReport)
        assert report.ok
        self.assert_solved(site, expected, slurm, tmp_path)

    def test_in_the_command(self, site: Site, expected: bytes, slurm: SlurmCluster, tmp_path: Path) -> None:
        options = ["--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "good"]
        ended = run_command("solve", *options, "--transport", "private")
        assert ended.code == 0, ended.errors
        assert "1 succeeded, 0 failed" in ended.output
        assert "Traceback" not in ended.errors
        self.assert_solved(site, expected, slurm, tmp_path)


class TestNoPlace:
    """A transport that cannot be opened: the solve ends with the reason, nothing is given up."""

    def test_the_port_is_taken(self, site: Site, tmp_path: Path, slurm: SlurmCluster) -> None:
        site.add_models("ModelA")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(BadInputError, match=f"cannot listen on 127.0.0.1, ports {port}"):
                site.solve("good", providers=[PROVIDER], transport=transport_to(tmp_path, ports=(port, port)))
        assert site.dirty() == {"good/ModelA"}
        assert site.solve("good", providers=[PROVIDER], transport=transport_to(tmp_path)).report.ok
        assert_nothing_is_left(slurm, tmp_path)

    def test_the_shared_directory_cannot_be_made(self, site: Site, tmp_path: Path) -> None:
        site.add_models("ModelA")
        (tmp_path / "file").touch()
        with pytest.raises(TransportFailedError, match=r"'slurm' cannot go on .*Not a directory"):
            site.solve("good", providers=[PROVIDER], transport=transport_to(tmp_path / "file" / "shared"))
        assert site.dirty() == {"good/ModelA"}

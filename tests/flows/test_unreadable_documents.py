"""Documents that are empty, torn, or no documents at all concern their own execution alone, and are named."""

import os
import threading
import time

import pytest

from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import Telemetry
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.testing.executions import QUICK
from tests.flows.temporary_site import Site, when
from tests.flows.unfinished_executions import leave_behind
from tests.unreadable_documents import UNREADABLE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB")


@pytest.fixture
def site(site: Site) -> Site:
    """A site with two models."""
    site.add_models(*MODELS)
    return site


def assert_solved_anew(site: Site, left: ExecutionDirectory, name: str) -> None:
    """Hold that the solve runs everything, and names the file of the one execution that had trouble with it."""
    solved = site.solve("good").report
    assert solved.ok
    assert solved.leftovers.settled == len(MODELS)
    assert not solved.leftovers.elsewhere
    assert sorted(row.key for row in site.attempts() if row.successful) == sorted(MODELS)
    first = [row for row in site.attempts() if row.attempt == 1]
    assert {(row.failure_kind, row.retryable, row.counted) for row in first} == {
        (FailureKind.COORDINATOR_LOST, True, False)
    }
    named = [row for row in first if str(left.path / name) in (row.message or "")]
    assert [row.fragment for row in named] == [str(left.path.relative_to(site.home / "scratch"))]
    assert site.dirty() == set()


@pytest.mark.parametrize("how", ["empty", "torn", "another version", "a pipe"])
def test_a_claim_that_cannot_be_read_is_of_an_unknown_holder(site: Site, how: str) -> None:
    left = leave_behind(site, "good")[0]
    UNREADABLE[how](left.path / "claim.json")
    began = time.time()
    assert_solved_anew(site, left, "claim.json")
    closed_at = (left.path / "closed.json").stat().st_mtime
    assert left.silence_seconds() >= 3 * QUICK.heartbeat_seconds
    assert closed_at >= began


@pytest.mark.parametrize(
    ("name", "how"), [("envelope.json", "empty"), ("outcome.json", "a list"), ("outcome.json", "zeros")]
)
def test_what_else_a_dead_coordinator_may_have_left(site: Site, name: str, how: str) -> None:
    left = leave_behind(site, "good")[0]
    (left.path / name).unlink(missing_ok=True)
    UNREADABLE[how](left.path / name)
    assert_solved_anew(site, left, name)


def test_telemetry_and_closing_that_cannot_be_read_say_nothing(site: Site) -> None:
    for left, name in zip(leave_behind(site, "good"), ("telemetry.json", "closed.json"), strict=True):
        (left.path / name).write_bytes(b"\0" * 512)
    assert site.solve("good").report.ok
    site.assert_settled()


def test_a_result_beside_a_torn_claim_is_taken_in(site: Site) -> None:
    for directory in leave_behind(site, "good"):
        assert execute_in_process(directory.path).succeeded
        (directory.path / "claim.json").write_bytes(b"")
    assert not site.solve("good").report.executions
    assert {(row.attempt, row.successful) for row in site.attempts()} == {(1, True)}
    site.assert_settled()


def test_an_execution_of_an_unknown_holder_with_heartbeats_is_left_alone(site: Site) -> None:
    left, other = leave_behind(site, "good")
    (left.path / "claim.json").write_bytes(b"")
    over = threading.Event()

    def live() -> None:
        sequence = 0
        while not over.wait(0.05):
            left.write_telemetry(Telemetry(sequence=(sequence := sequence + 1)))

    living = threading.Thread(target=live)
    living.start()
    try:
        when((left.path / "telemetry.json").exists)
        report = site.solve("good").report
    finally:
        over.set()
        living.join()
    assert report.leftovers.settled == 1
    assert len(report.leftovers.elsewhere) == 1
    assert len(site.runs()) == 1
    assert other.is_closed()


def test_what_is_damaged_while_it_runs_concerns_the_execution_alone(site: Site) -> None:
    site.solve("good", "spoils-documents", "blocks-outcome")
    site.assert_settled()
    assert all(row.successful for row in site.attempts("good") + site.attempts("spoils-documents"))
    blocked = site.attempts("blocks-outcome")
    assert {row.failure_kind for row in blocked} == {FailureKind.SYSTEM_ERROR}
    assert all(f"{row.fragment}/outcome.json" in (row.message or "") for row in blocked)


class TestOtherHosts:
    """A claim of an execution under another host name or in another container."""

    def claim(self, left: ExecutionDirectory, **changes: object) -> None:
        assert left.claim(Claim.of_this_process().model_copy(update=changes))

    @pytest.mark.parametrize(
        "changes",
        [
            {"host": "pod-1", "pid_namespace": "pid:[1]", "pid": os.getpid()},
            {"host": "pod-1", "boot_id": "another"},
            {"boot_id": "another"},
            {"host": "pod-1", "pid_namespace": "", "process_started": "1"},
            {"job_id": "17", "host": "login-7", "boot_id": "another"},
        ],
        ids=["container", "other host", "rebooted", "older version", "in a job"],
    )
    def test_it_is_over_once_it_is_quiet(self, site: Site, changes: dict[str, object]) -> None:
        left = leave_behind(site, "good")[0]
        self.claim(left, **changes)
        assert site.solve("good").report.ok
        assert site.dirty() == set()
        assert left.silence_seconds() >= 3 * QUICK.heartbeat_seconds

    def test_under_another_name_of_the_same_host_its_process_decides(self, site: Site) -> None:
        rarely = QUICK.model_copy(update={"heartbeat_seconds": 3600.0})
        left = leave_behind(site, "good", limits=rarely)[0]
        self.claim(left, host="before-the-trip", process_started="1")
        assert site.solve("good").report.ok  # which it would not be so soon if it had to be quiet for three hours

    def test_a_job_of_another_transport_is_left_alone(self, site: Site) -> None:
        left = leave_behind(site, "good", transport="slurm")[0]
        self.claim(left, job_id="17", host="node7", boot_id="another")
        report = site.solve("good").report
        assert len(report.leftovers.elsewhere) == 1
        assert not left.is_closed()

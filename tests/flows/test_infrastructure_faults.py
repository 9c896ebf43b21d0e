"""If directories or databases are full, closed or gone, no execution fails, and all go on once they work."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import InfrastructureFaultError
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.coordinator_processes import coordinator
from tests.flows.temporary_site import Site
from tests.flows.tmpfs_disk import Disk
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB")
WAITS = "counts against no execution"


@pytest.fixture
def site(site: Site) -> Site:
    """A site with two models."""
    site.add_models(*MODELS)
    return site


@contextmanager
def once_it_waits(caplog: pytest.LogCaptureFixture, mend: Callable[[], object]) -> Iterator[None]:
    """Mend something as soon as the solve says that it waits; hold that it has said so."""

    def work() -> None:
        wait_until(lambda: any(WAITS in record.getMessage() for record in list(caplog.records)), 60)
        mend()

    mending = threading.Thread(target=work)
    mending.start()
    try:
        yield
    finally:
        mending.join()
    assert any("It works again" in record.getMessage() for record in caplog.records)


def assert_all_at_once(site: Site, *diagnostics: str) -> None:
    """Hold that everything succeeded at its first attempt, run once."""
    site.assert_settled()
    assert {(row.attempt, row.successful) for row in site.attempts()} == {(1, True)}
    assert len(site.attempts()) == len(site.runs()) == len(MODELS) * len(diagnostics)
    assert site.dirty() == set()


class TestScratch:
    """Where executions are to be dispatched."""

    def test_it_is_full(self, site: Site, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
        site.configure(scratch=disk.path)
        disk.fill()
        with once_it_waits(caplog, disk.free):
            assert site.solve("good").report.ok
        assert_all_at_once(site, "good")

    def test_a_stray_file_in_the_place_of_one_provider_holds_up_no_other(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        stray = site.home / "scratch" / "fresh"
        stray.parent.mkdir(parents=True)
        stray.write_text("in the way")

        def mend() -> None:
            wait_until(lambda: len(site.runs()) == len(MODELS), 60)
            stray.unlink()

        providers = ["tests.flows.providers:fresh", "tests.flows.providers:provider"]
        with once_it_waits(caplog, mend):
            assert site.solve("good", providers=providers).report.ok
        assert {(row.attempt, row.successful) for row in site.attempts()} == {(1, True)}

    def test_it_is_full_while_executions_run(self, site: Site, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
        site.configure(scratch=disk.path)
        with once_it_waits(caplog, disk.free):
            assert site.solve("fills-disk").report.ok
        failed = [row for row in site.attempts() if not row.successful]
        assert failed
        assert {(row.failure_kind, row.counted) for row in failed} == {(FailureKind.SCRATCH_FULL, False)}
        assert site.dirty() == set()

    def test_it_is_not_mended_in_time(self, site: Site, disk: Disk) -> None:
        site.configure(scratch=disk.path, house_patience="PT2S")
        disk.fill()
        with pytest.raises(
            InfrastructureFaultError, match=r"scratch directory .*No space.*0:00:02.*Nothing is given up"
        ):
            site.solve("good")
        assert site.dirty() == {f"good/{model}" for model in MODELS}
        assert {row.failure_kind for row in site.attempts()} == {None}
        disk.free()
        assert site.solve("good").report.ok
        assert not [row for row in site.attempts() if row.counted and not row.successful]
        assert site.dirty() == set()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupt_ends_the_waiting(self, site: Site, disk: Disk, number: signal.Signals) -> None:
        site.configure(scratch=disk.path)
        disk.fill()
        with coordinator(site, "good") as started:
            wait_until(lambda: WAITS in started.said or started.process.poll() is not None, 90)
            assert started.interrupt(number) == (130 if number is signal.SIGINT else -number), started.said
            assert "Traceback" not in started.said
        disk.free()
        assert site.solve("good").report.ok
        assert not [row for row in site.attempts() if row.counted and not row.successful]


class TestResults:
    """Where results are to be published."""

    @pytest.mark.parametrize("diagnostic", ["fills-disk", "locks-disk"])
    def test_the_disk_fails(self, site: Site, disk: Disk, caplog: pytest.LogCaptureFixture, diagnostic: str) -> None:
        site.configure(results=disk.path)
        mend = disk.free if diagnostic == "fills-disk" else disk.make_writable
        with once_it_waits(caplog, mend):
            assert site.solve("good", diagnostic).report.ok
        assert_all_at_once(site, "good", diagnostic)

    def test_it_is_moved_away(self, site: Site, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        results = tmp_path / "disk"
        site.configure(results=results)
        with once_it_waits(caplog, lambda: results.with_name("elsewhere").rename(results)):
            assert site.solve("good", "moves-disk").report.ok
        assert_all_at_once(site, "good", "moves-disk")

    def test_a_stray_file_lies_where_a_directory_must_be(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        stray = site.home / "results" / "flows"
        stray.parent.mkdir(parents=True)
        stray.write_text("in the way")
        with once_it_waits(caplog, stray.unlink):
            assert site.solve("good").report.ok
        assert_all_at_once(site, "good")

    def test_it_is_not_mended_in_time_and_what_has_run_is_taken_in_later(self, site: Site, disk: Disk) -> None:
        site.configure(results=disk.path, house_patience="PT2S")
        with pytest.raises(InfrastructureFaultError, match=r"results directory .*Read-only.*Nothing is given up"):
            site.solve("locks-disk")
        assert {row.failure_kind for row in site.attempts()} == {None}
        assert site.dirty() == {f"locks-disk/{model}" for model in MODELS}
        disk.make_writable()
        assert site.solve("locks-disk").report.ok
        assert_all_at_once(site, "locks-disk")

    def test_a_leftover_waits_as_well(self, site: Site, disk: Disk) -> None:
        site.configure(results=disk.path, house_patience="PT2S")
        with pytest.raises(InfrastructureFaultError):
            site.solve("fills-disk")
        with pytest.raises(InfrastructureFaultError, match="No space"):
            site.solve("fills-disk")
        disk.free()
        assert site.solve("fills-disk").report.ok
        assert_all_at_once(site, "fills-disk")


class TestDatabase:
    """Where everything is recorded."""

    def test_its_disk_is_full(self, site: Site, disk: Disk, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        site.configure(home=disk.path, scratch=tmp_path / "scratch", results=tmp_path / "results")
        with once_it_waits(caplog, disk.free):
            assert site.solve("fills-disk").report.ok
        assert site.query("PRAGMA integrity_check") == [("ok",)]
        assert_all_at_once(site, "fills-disk")

    def test_postgresql_is_restarted(self, site: Site, postgres_server: PostgresServer) -> None:
        url = postgres_server.create_database()
        site.configure(database_url=url)
        with coordinator(site, "waits-for-go") as started:
            wait_until(lambda: all((site.notes / f"started-{model}").exists() for model in MODELS), 90)
            postgres_server.stop()
            (site.notes / "go").touch()
            wait_until(lambda: WAITS in started.said, 60)
            postgres_server.start()
            assert started.wait(90) == 0, started.said
        assert len(site.runs()) == len(MODELS)
        with site.store() as store:
            assert [(row.attempt, row.successful) for row in store.executions()] == [(1, True)] * len(MODELS)
        postgres_server.drop_database(url)


class TestResultsThatCanNeverBeTaken:
    """They are final at once, with the reason, and run once."""

    @pytest.mark.parametrize(
        ("diagnostic", "words"),
        [
            ("huge-integer", "too large|float"),
            ("lone-surrogate", "hex escape|surrogate"),
            ("log-link", "run.log .*link"),
            ("log-directory", "run.log .*directory"),
        ],
    )
    def test_no_solve_runs_them_again(self, site: Site, diagnostic: str, words: str) -> None:
        site.solve(diagnostic)
        for row in site.attempts():
            assert (row.failure_kind, row.retryable) == (FailureKind.INVALID_RESULT, False), row.message
        assert all(re.search(words, row.message or "") for row in site.attempts()), site.attempts()
        site.solve(diagnostic)
        assert len(site.runs()) == len(MODELS)
        for log in Settings().results_directory.rglob("run.log"):
            assert not log.is_symlink()
            assert "root:" not in log.read_text()

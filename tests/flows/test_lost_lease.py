"""A coordinator that another one has replaced: it stops what it runs, says so in a line, and changes nothing more."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from climate_ref_prefect.flows.cli.errors_and_exit_codes import LEASE_LOST
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.coordinator_processes import coordinator, reported, run_command
from tests.flows.run_intervals import read_lives
from tests.flows.temporary_site import Site
from tests.store.example_values import coordinated

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

PROVIDER = "tests.soak.provider:provider"


def taken_over(site: Site, taken: ExitStack) -> bool:
    """Remove the lock file and coordinate; false where who coordinates has noticed and was faster."""
    (site.home / "climate-ref-prefect.db.lock").unlink()
    try:
        taken.enter_context(coordinated(Settings().store_url))
    except CoordinatorBusyError:
        return False
    return True


def test_it_stops_and_its_successor_goes_on(site: Site) -> None:
    site.add_models("ModelA", "ModelB")
    with coordinator(site, "waits-for-go", provider=PROVIDER) as started:
        started.wait_until_it_holds(*(site.notes / f"started-waits-for-go-{model}" for model in ("ModelA", "ModelB")))
        before = site.attempts()
        with ExitStack() as taken:
            wait_until(lambda: taken_over(site, taken))
            assert started.wait() == LEASE_LOST, started.said
            last = reported(started.said)
        assert last.startswith("climate-ref-prefect: The right to coordinate on ")
        assert f"process {os.getpid()} on here (state directory /home/of/the/tests) has had it since 20" in last
        assert "Traceback" not in started.said
    assert site.attempts() == before
    assert {row.status for row in before} == {"dispatched"}
    assert not list(Settings().scratch_directory.rglob("closed.json"))
    assert not any(life.at_work for life in read_lives(site.notes))
    (site.notes / "go").touch()
    report = site.solve("waits-for-go", providers=[PROVIDER]).report
    assert report.ok
    assert report.leftovers.settled == 2
    assert not any(life.beside for life in read_lives(site.notes))


def test_two_homes_on_one_database_and_another_store_on_its_results_are_refused(site: Site, tmp_path: Path) -> None:
    """Before anything runs, each in one line with what to do."""
    site.add_models("ModelA")
    site.configure(database_url=Settings().store_url, results=tmp_path / "results", scratch=tmp_path / "scratch")
    arguments = ("solve", "--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "brief")
    with coordinated(Settings().store_url):
        refused = run_command(*arguments, more={"CLIMATE_REF_PREFECT_HOME": str(tmp_path / "second")})
    assert refused.code == 1
    assert (
        f"Another coordinator works on {site.home / 'climate-ref-prefect.db'}: process {os.getpid()}" in refused.errors
    )
    assert run_command(*arguments).code == 0
    other = {
        "CLIMATE_REF_PREFECT_HOME": str(tmp_path / "third"),
        "CLIMATE_REF_PREFECT_DATABASE_URL": f"sqlite:///{tmp_path}/other.db",
    }
    refused = run_command(*arguments, more=other)
    assert refused.code == 2
    last = reported(refused.errors)
    assert "belongs to the store" in last
    assert f"{tmp_path}/other.db" in last
    assert str(site.home / "climate-ref-prefect.db") in last
    assert len(read_lives(site.notes)) == 1
    assert "belongs to" in run_command("db", "claim-results", more=other).output
    assert run_command(*arguments, more=other).code == 0

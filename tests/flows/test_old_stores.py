"""A store of the first schema, as commit 737fb9b left it: upgraded, everything in it is as up to date as it was."""

import os
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.planning.plan_solve import plan_only
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.errors import SchemaOutdatedError
from climate_ref_prefect.store.sql import schema_migration
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.flows.coordinator_processes import run_command
from tests.flows.temporary_site import PROVIDER, Site
from tests.store.earlier_databases import restore_first_schema

pytestmark = pytest.mark.usefixtures("prefect_server")

WRITTEN_AT_NS = 1_577_836_800 * 10**9
"""When the data that it was made on was last changed."""


@pytest.fixture
def site(site: Site) -> Site:
    """A site with the data of the dump and the database that it was made of."""
    site.add_models("ModelA", "ModelB")
    for path in site.data.rglob("*.nc"):
        os.utime(path, ns=(WRITTEN_AT_NS, WRITTEN_AT_NS))
    site.home.mkdir()
    restore_first_schema(site.home / "climate-ref-prefect.db", site.data, Settings().results_directory)
    for row in site.attempts():
        if row.results_path:
            Path(row.results_path).mkdir(parents=True)
            Path(row.results_path, METRIC_BUNDLE).write_text("{}")
    return site


def planned(site: Site, *diagnostics: str) -> Plan:
    """Return what would be run."""
    return plan_only(str(site.data), [PROVIDER], diagnostics, LocalTransport(), "none")


def test_it_is_upgraded_and_all_is_up_to_date(site: Site) -> None:
    with pytest.raises(SchemaOutdatedError, match=r"revision 0001.*`climate-ref-prefect db upgrade`"):
        planned(site, "good")
    assert "revision 0002" in run_command("db", "upgrade").output
    plan = planned(site, "good", "flaky")
    assert not plan.executions
    assert (plan.up_to_date, plan.given_up) == (4, 0)
    plan = planned(site, "own-error")
    assert not plan.executions
    assert (plan.up_to_date, plan.given_up) == (0, 2)
    with site.store() as store:
        assert len(store.identity()) == 32


def test_its_results_directory_is_its_own(site: Site) -> None:
    schema_migration.upgrade_database(Settings().store_url)
    assert site.solve("good", "flaky").report.headline().startswith("All up to date")
    assert (Settings().results_directory / "store.json").exists()
    site.add_models("ModelC")
    assert site.solve("good").report.ok

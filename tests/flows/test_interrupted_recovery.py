"""Outcomes that a killed coordinator has left are settled, and the settling may be interrupted as well."""

import signal
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.flows.coordinator_processes import coordinator
from tests.flows.temporary_site import Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB", "ModelC")
CODES = {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}


def half_published(site: Site) -> set[Path]:
    """Return the temporary copies in the results directory, of running or killed coordinators."""
    return set((site.home / "results").glob("*/*/*/.incoming-*"))


@pytest.mark.parametrize("number", CODES)
def test_it_is_interrupted_while_it_takes_in(site: Site, number: signal.Signals) -> None:
    site.add_models(*MODELS)
    with coordinator(site, "large") as started:
        started.wait_until_it_holds()
        wait_until(lambda: len(list((site.home / "scratch").glob("*/*/*/*/outcome.json"))) == len(MODELS), 60)
        started.interrupt(signal.SIGKILL)
    assert not all(row.status == "finished" for row in site.attempts())
    before = half_published(site)
    with coordinator(site, "large") as started:
        started.wait_until_it_holds()
        wait_until(lambda: started.process.poll() is not None or half_published(site) - before, 60)
        assert started.interrupt(number) == CODES[number], started.said
        assert "Traceback" not in started.said
    assert site.solve("large").report.ok
    site.assert_settled()
    assert sorted(run.key for run in site.runs()) == sorted(MODELS)
    assert {(row.attempt, row.successful) for row in site.attempts()} == {(1, True)}
    assert not half_published(site)

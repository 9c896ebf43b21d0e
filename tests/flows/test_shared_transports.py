"""One transport object in several flows, as the default argument of `solve` is: each flow opens one of its own."""

import threading
from contextvars import copy_context
from pathlib import Path

import pytest

from climate_ref_prefect.flows import solve as flows
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.transport_parameter import transport_of
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.flows.temporary_site import PROVIDER, Site, Solved, when

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_a_flow_gets_a_transport_of_its_own_with_the_same_settings() -> None:
    shared = LocalTransport(cpu=2, limits=QUICK)
    own = transport_of(shared)
    assert own is not shared
    assert own == shared
    assert transport_of(LocalTransport()) == LocalTransport()


def test_the_default_serves_one_flow_after_another(site: Site) -> None:
    site.add_models("ModelA")
    for diagnostic in ("good", "other"):
        report: SolveReport = flows.solve(str(site.data), [PROVIDER], [diagnostic])
        assert report.ok
        assert [row.label for row in report.executions] == [f"flows/{diagnostic}/ModelA"]


def test_two_flows_at_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = LocalTransport(cpu=2, limits=QUICK)
    site.add_models("ModelA")
    solved: list[Solved] = []
    thread = threading.Thread(
        target=copy_context().run, args=(lambda: solved.append(site.solve("waits-for-go", transport=shared)),)
    )
    thread.start()
    when((site.notes / "started-ModelA").exists, 60)
    other = Site(tmp_path / "other", monkeypatch)
    other.add_models("ModelA", "ModelB")
    assert other.solve("good", transport=shared).report.ok
    assert not solved
    (site.notes / "go").touch()
    thread.join()
    assert [row.successful for one in solved for row in one.report.executions] == [True]

"""The network between jobs of a real SLURM and their coordinator is cut under load: nothing is lost or runs twice."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dask
import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.flows.cluster_provider import started
from tests.flows.run_intervals import read_lives
from tests.flows.slurm_site import PROVIDER, assert_each_ran_once, assert_nothing_is_left, transport_to
from tests.flows.tcp_proxy import Wire
from tests.flows.temporary_site import Site
from tests.slurm.cluster import SlurmCluster
from tests.slurm.configuration import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

DIAGNOSTICS = ("plain", "waits-for-go")
MODELS = ("Model1", "Model2", "Model3", "Model4", "Model5", "Model6")


@pytest.mark.parametrize(
    ("cut", "noticed"),
    [(Wire.cut, False), (Wire.cut, True), (Wire.reset, True)],
    ids=["not noticed", "noticed by the silence", "reset"],
)
def test_it_is_cut_for_a_while(
    site: Site, tmp_path: Path, slurm: SlurmCluster, cut: Callable[[Wire], None], *, noticed: bool
) -> None:
    site.add_models(*MODELS)
    (port,) = free_ports(1)
    with Wire(port) as wire, dask.config.set({"distributed.scheduler.worker-ttl": "3s" if noticed else "300s"}):
        told = f"127.0.0.1:{wire.port}"
        rules = {"max_jobs": 8}
        transport = transport_to(tmp_path / "shared", ports=(port, port), contact_address=told, rules=rules)
        cutting = threading.Thread(target=cut_under_load, args=(site, wire, cut), kwargs={"noticed": noticed})
        cutting.start()
        report = site.solve(*DIAGNOSTICS, providers=[PROVIDER], transport=transport).report
        cutting.join()
        assert_nothing_is_left(slurm, tmp_path / "shared")
    assert report.ok
    site.assert_settled()
    assert_each_ran_once(site)
    assert Counter(life.group for life in read_lives(site.notes)).total() == len(DIAGNOSTICS) * len(MODELS)
    assert noticed or {row.attempt for row in site.attempts()} == {1}


def cut_under_load(site: Site, wire: Wire, cut: Callable[[Wire], None], *, noticed: bool) -> None:
    """Cut the wire until what runs has ended, but for what waits, and until that is recorded if anybody notices."""
    wait_until(lambda: all(started(site.notes, "waits-for-go", model).exists() for model in MODELS[:2]), 60)
    wait_until(lambda: at_work(site), 60)
    cut(wire)
    running = at_work(site)
    wait_until(lambda: not running & at_work(site))
    if noticed:
        scratch = site.home / "scratch"
        wait_until(lambda: running <= {str(scratch / row.fragment) for row in site.attempts() if row.successful}, 60)
    wire.mend()
    (site.notes / "go").touch()


def at_work(site: Site) -> set[str]:
    """Return where executions run that end by themselves."""
    return {life.directory for life in read_lives(site.notes) if life.diagnostic == "plain" and life.at_work}

"""The demo on a real SLURM: its values are those of `local`, to the byte."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.demo.provider import provider
from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, SERIES
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.flows.slurm_site import assert_nothing_is_left, transport_to
from tests.flows.temporary_site import Site
from tests.slurm.cluster import SlurmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("prefect_server")]

MONTHLY = ("CCCma/CanESM5", "CSIRO-ARCCSS/ACCESS-CM2", "MIROC/MIROC6", "NOAA-GFDL/GFDL-ESM4")
DAILY = ("CCCma/CanESM5", "MIROC/MIROC6")


def copy_sample(data: Path) -> None:
    """Copy the data of some models, enough for an ensemble."""
    for table, models in (("Amon", MONTHLY), ("day", DAILY)):
        for model in models:
            path = Path("CMIP6/CMIP", model, "historical/r1i1p1f1", table)
            shutil.copytree(sample_data_root() / path, data / path)


def values_of(site: Site, transport: Transport) -> dict[tuple[str, str], Any]:
    """Solve with all diagnostics of the demo; return bundles and rows of the store by diagnostic and key."""
    report = site.solve(providers=["demo"], transport=transport).report
    assert report.ok
    values = {}
    with site.store() as store:
        for row in report.executions:
            published = Path(str(row.results_path))
            values[row.diagnostic, row.key] = (
                [(published / name).read_bytes() for name in (METRIC_BUNDLE, SERIES)],
                [scalar.model_copy(update={"execution_id": 0}) for scalar in store.scalars([row.execution_id])],
                [series.model_copy(update={"execution_id": 0}) for series in store.series([row.execution_id])],
            )
    return values


def test_values_are_the_same_to_the_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: SlurmCluster) -> None:
    copy_sample(tmp_path / "data")
    transports: tuple[Transport, ...] = (
        LocalTransport(cpu=2),
        transport_to(tmp_path / "shared", rules={"max_jobs": 2}),
    )
    seen = []
    for transport in transports:
        site = Site(tmp_path / transport.name, monkeypatch)
        site.data = tmp_path / "data"
        seen.append(values_of(site, transport))
    local, remote = seen
    assert {diagnostic for diagnostic, _ in local} == set(provider.diagnostics)
    assert all(scalars for _, scalars, _ in local.values())
    assert remote == local
    assert_nothing_is_left(slurm, tmp_path / "shared")

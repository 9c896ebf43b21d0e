"""A diagnostic of REF's runs on files without REF's database, recorded in memory or in the store."""

import os
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.ref.run_diagnostic import run_ref_diagnostic
from climate_ref_prefect.ref.vocabulary import ref_vocabulary
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.sql.sql_store import open_store
from tests.ref.home import EXAMPLE, ILAMB, SYNCHRONOUS, RefHome

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

SLUG = "example/global-mean-timeseries"
CHOSEN = ("source_id=CanESM5", "variable_id=tas", "variable_id=areacella")


@pytest.fixture
def data(ref_home: RefHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give made CMIP6 files. REF's database is taken away."""
    ref_home.configure(SYNCHRONOUS, providers=(EXAMPLE,))
    ref_home.database.unlink()
    for name, value in {**ref_home.environment, "CLIMATE_REF_PREFECT_HOME": str(tmp_path / "own")}.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return ref_home.shared / "data" / "CMIP6"


def test_in_memory_and_in_the_store_the_values_and_the_files_are_the_same(data: Path) -> None:
    memory = MemoryRecorder(ref_vocabulary())
    first = run_ref_diagnostic(SLUG, data, dataset_filters=CHOSEN, recorder=memory)
    assert first.ok, first
    (row,) = first.executions
    assert (row.provider, row.diagnostic, row.key) == (*SLUG.split("/"), "cmip6_historical_CanESM5_tas_r1i1p1f1")
    second = run_ref_diagnostic(SLUG, data, key=row.key)
    assert second.ok, second
    with open_store(Settings().store_url) as store:
        ids = [one.execution_id for one in second.executions]
        recorded = [(one.dimensions, one.value) for one in store.scalars(ids)]
        files = {one.filename for one in store.outputs(ids)}
    assert recorded
    assert recorded == [(one.dimensions, one.value) for one in memory.scalars([row.execution_id])]
    assert files == {"annual_mean_global_mean_timeseries.nc", "out.log"}
    (done,) = second.executions
    assert done.results_path is not None
    assert files <= {path.name for path in (Settings().results_directory / done.results_path).iterdir()}


def test_results_of_ilamb_are_within_the_vocabulary_of_ref(data: Path, ref_home: RefHome) -> None:
    ref_home.configure(SYNCHRONOUS, providers=(ILAMB,))
    directories = {"cmip6": data, "obs4ref": data.with_name("obs4REF")}
    strict = MemoryRecorder(ref_vocabulary())
    report = run_ref_diagnostic("ilamb/thetao-woa2023-surface", directories, limit=1, recorder=strict)
    assert report.ok, report


def test_what_is_not_there_is_said_in_words(data: Path, tmp_path: Path) -> None:
    memory = MemoryRecorder()
    with pytest.raises(BadInputError, match=r"'example' has no diagnostic 'mean'\. It has global-mean-timeseries"):
        run_ref_diagnostic("example/mean", data, recorder=memory)
    with pytest.raises(BadInputError, match="REF has no provider 'none' here"):
        run_ref_diagnostic("none/mean", data, recorder=memory)
    with pytest.raises(BadInputError, match="The data give no such execution"):
        run_ref_diagnostic(SLUG, data, key="none", recorder=memory)
    with pytest.raises(BadInputError, match="There is no directory"):
        run_ref_diagnostic(SLUG, tmp_path / "none", recorder=memory)

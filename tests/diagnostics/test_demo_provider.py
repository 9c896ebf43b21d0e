"""The demo provider as a coordinator and a worker see it, and what it does with broken files."""

import os
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from climate_ref_prefect.diagnostics.controlled_vocabulary import default_vocabulary
from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.demo.provider import provider
from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.demo.statistic_names import STATISTICS
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.provider import find_provider, load_provider
from tests.diagnostics.demo_runs import define, groups, run

EXAMPLES = [
    ("annual-cycle", "MIROC6", "Amon"),
    ("annual-cycle", "KACE-1-0-G", "day"),
    ("linear-trend", "MIROC6", "Amon"),
    ("ensemble-bias", "MIROC6", "Amon"),
    ("daily-variability", "MIROC6", "day"),
]
SECOND_PLOTS = {
    "annual-cycle": "years.png",
    "linear-trend": "residuals.png",
    "ensemble-bias": "taylor.png",
    "daily-variability": "quantiles.png",
}
WITHOUT_INTERVAL = {"years_used", "reference_models", "p_value", "trend_standard_error"}
IN_A_PROCESS_OF_ITS_OWN = """
import sys
from pathlib import Path
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from tests.diagnostics.demo_runs import run
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    found = run(ExecutionDefinition.model_validate_json(path.read_text()), path.with_suffix(".there"))
    path.with_suffix(".result").write_text(found.result.model_dump_json())
"""
AFTER_WARMING_UP = """
import os
import sys
from pathlib import Path
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.demo.provider import provider
from tests.diagnostics.demo_runs import run
left = set(os.listdir(os.environ["TMPDIR"]))
provider.warm_up()
assert set(os.listdir(os.environ["TMPDIR"])) == left
known = set(sys.modules)
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    run(ExecutionDefinition.model_validate_json(path.read_text()), path.with_suffix(".out"))
print(sorted(set(sys.modules) - known))
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return scan(sample_data_root())


def with_files(definition: ExecutionDefinition, *datasets: Dataset) -> ExecutionDefinition:
    return definition.model_copy(update={"datasets": datasets})


def written_down(catalogue: Catalogue, directory: Path) -> dict[str, ExecutionDefinition]:
    definitions = {"-".join(example): define(catalogue, *example) for example in EXAMPLES}
    for name, definition in definitions.items():
        (directory / f"{name}.json").write_text(definition.model_dump_json())
    return definitions


def write_temperature(path: Path, temperature: float, *, years: int = 30, level: float = 92500.0) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        axes = {"time": np.arange(12 * years) * 30.0 + 15, "plev": np.array([level])}
        axes |= {"lat": np.array([85.0, 88.0]), "lon": np.array([0.0])}
        for name, values in axes.items():
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file["time"].setncatts({"units": "days since 1981-01-01", "calendar": "360_day"})
        file.createVariable("ta", "f4", ("time", "plev", "lat", "lon"))[:] = temperature
    return path


def test_the_entry_point_leads_to_the_provider() -> None:
    assert load_provider(find_provider("demo")) is provider


@pytest.mark.parametrize(
    ("diagnostic", "executions"),
    [("annual-cycle", 76), ("linear-trend", 42), ("ensemble-bias", 42), ("daily-variability", 34)],
)
def test_executions_of_the_sample_data(catalogue: Catalogue, diagnostic: str, executions: int) -> None:
    assert len(groups(catalogue, diagnostic)) == executions


def test_all_statistics_are_in_the_vocabulary_with_their_units() -> None:
    statistic = next(d for d in default_vocabulary().dimensions if d.name == "statistic")
    listed = {value.name: (value.long_name, value.units) for value in statistic.values}
    assert listed.pop("mean") == ("Mean", None)
    assert listed == {name: (ours.long_name, ours.units) for name, ours in STATISTICS.items()}


@pytest.mark.parametrize(("diagnostic", "model", "table"), EXAMPLES)
def test_a_result_fits_the_vocabulary_and_its_files_are_there(
    catalogue: Catalogue, tmp_path: Path, diagnostic: str, model: str, table: str
) -> None:
    found = run(define(catalogue, diagnostic, model, table), tmp_path)
    default_vocabulary().check(found.result.metrics, found.result.series, found.result.outputs)
    files = {file.filename for _, _, file in found.result.outputs.files()}
    assert files == {path.name for path in tmp_path.iterdir()} == {"data.nc", "plot.png", SECOND_PLOTS[diagnostic]}
    for plot in ("plot.png", SECOND_PLOTS[diagnostic]):
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
    assert min(path.name for path in tmp_path.glob("*.png")) == "plot.png"
    with netCDF4.Dataset(tmp_path / "data.nc") as data:
        assert data.Conventions == "CF-1.11"
        assert all(np.isfinite(variable[:]).all() for variable in data.variables.values())
    assert found.result.metrics.disclaimer == {}


@pytest.mark.parametrize(("diagnostic", "model", "table"), EXAMPLES)
def test_every_estimate_has_an_interval(
    catalogue: Catalogue, tmp_path: Path, diagnostic: str, model: str, table: str
) -> None:
    found = run(define(catalogue, diagnostic, model, table), tmp_path).statistics
    estimates = {name for name in found if not name.endswith(("_lower", "_upper"))} - WITHOUT_INTERVAL
    assert estimates
    for name in estimates:
        lower, value, upper = (found[key] for key in (f"{name}_lower", name, f"{name}_upper"))
        assert lower is not None
        assert value is not None
        assert upper is not None
        assert lower < upper
        # Half as far again: where noise has made an estimate too large, its interval lies below it.
        assert lower - (upper - lower) / 2 < value < upper + (upper - lower) / 2


def test_another_process_gives_the_same_bits(catalogue: Catalogue, tmp_path: Path) -> None:
    definitions = written_down(catalogue, tmp_path)
    subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN, tmp_path],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "7"},
        check=True,
    )
    for name, definition in definitions.items():
        here = run(definition, tmp_path / f"{name}.here")
        assert (tmp_path / f"{name}.result").read_text() == here.result.model_dump_json()
        there = tmp_path / f"{name}.there"
        assert (there / "data.nc").read_bytes() == (here.directory / "data.nc").read_bytes()


def test_warm_up_leaves_nothing_to_import_and_no_file(catalogue: Catalogue, tmp_path: Path) -> None:
    written_down(catalogue, tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", AFTER_WARMING_UP, tmp_path],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"


def test_warm_up_starts_no_thread_where_blas_is_held_to_one() -> None:
    code = (
        "import os; from climate_ref_prefect.diagnostics.demo.provider import provider; provider.warm_up(); "
        "import threading; print(threading.active_count())"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        code += "; print(len(os.listdir('/proc/self/task')))"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert set(ended.stdout.split()) == {b"1"}


def test_the_ensemble_asks_for_more_memory_the_more_files_it_opens(catalogue: Catalogue) -> None:
    definition = define(catalogue, "ensemble-bias", "MIROC6")
    diagnostic = provider.diagnostic("ensemble-bias")
    alone = with_files(definition, definition.datasets[0])
    assert diagnostic.resources_for(definition).memory_mb > diagnostic.resources_for(alone).memory_mb >= 512


def test_levels_in_the_wrong_order_are_doubted(catalogue: Catalogue, tmp_path: Path) -> None:
    found = run(define(catalogue, "daily-variability", "IITM-ESM", "day"), tmp_path)
    assert "wrong order" in str(found.result.metrics.disclaimer["data"])


def test_a_file_that_is_no_netcdf_fails_in_words(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "linear-trend", "CanESM5")
    broken = tmp_path / "ta_Amon_CanESM5.nc"
    broken.write_bytes(b"not NetCDF")
    dataset = definition.datasets[0].model_copy(update={"files": (broken,)})
    with pytest.raises(DiagnosticError, match=r"ta_Amon_CanESM5\.nc cannot be read as NetCDF"):
        run(with_files(definition, dataset), tmp_path / "out")


def test_a_truncated_file_fails_with_a_message(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "linear-trend", "CanESM5")
    whole = definition.datasets[0].files[0].read_bytes()
    broken = tmp_path / "short.nc"
    broken.write_bytes(whole[: len(whole) // 2])
    dataset = definition.datasets[0].model_copy(update={"files": (broken,)})
    with pytest.raises(DiagnosticError, match=r"short\.nc"):
        run(with_files(definition, dataset), tmp_path / "out")


def test_a_file_that_is_gone_is_an_error_of_the_system(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "linear-trend", "CanESM5")
    dataset = definition.datasets[0].model_copy(update={"files": (tmp_path / "gone.nc",)})
    with pytest.raises(FileNotFoundError):
        run(with_files(definition, dataset), tmp_path / "out")


def test_a_broken_file_of_another_model_is_left_out_and_named(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "ensemble-bias", "CanESM5")
    broken = tmp_path / "broken.nc"
    broken.write_bytes(b"not NetCDF")
    own, second, *others = definition.datasets[:6]
    found = run(with_files(definition, own, second.model_copy(update={"files": (broken,)}), *others), tmp_path / "out")
    assert found.statistics["reference_models"] == 4
    assert found.result.metrics.notes["left_out"] == [second.instance_id]
    assert second.instance_id not in found.result.outputs.provenance.modeldata
    with pytest.raises(DiagnosticError, match="2 other models can be read; at least 3"):
        run(with_files(definition, *definition.datasets[:3]), tmp_path / "few")


@pytest.mark.parametrize(
    ("temperature", "level", "message"),
    [(16.0, 92500.0, "temperatures from 16 to 16 K"), (260.0, 50000.0, "no level 92500 Pa; it has 50000")],
)
def test_data_that_cannot_be_are_refused(
    catalogue: Catalogue, tmp_path: Path, temperature: float, level: float, message: str
) -> None:
    definition = define(catalogue, "annual-cycle", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", temperature, level=level)
    dataset = definition.datasets[0].model_copy(update={"files": (path,)})
    with pytest.raises(DiagnosticError, match=message):
        run(with_files(definition, dataset), tmp_path / "out")


def test_files_that_overlap_are_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "annual-cycle", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", 260.0)
    dataset = definition.datasets[0].model_copy(update={"files": (path, path)})
    with pytest.raises(DiagnosticError, match="overlap"):
        run(with_files(definition, dataset), tmp_path / "out")


def test_a_short_record_succeeds_without_a_trend_and_says_why(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "linear-trend", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", 260.0, years=9)
    dataset = definition.datasets[0].model_copy(update={"files": (path,)})
    found = run(with_files(definition, dataset), tmp_path / "out")
    assert found.statistics["trend"] is None
    assert found.statistics["lag1_autocorrelation_lower"] is None
    assert found.result.metrics.notes["no_trend"] == "9 complete years; a trend needs at least 10"
    assert set(found.result.outputs.plots) == {"plot"}


def test_too_few_years_to_resample_leave_intervals_open_and_say_why(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "annual-cycle", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", 260.0, years=9)
    dataset = definition.datasets[0].model_copy(update={"files": (path,)})
    found = run(with_files(definition, dataset), tmp_path / "out")
    assert found.statistics["annual_mean"] == pytest.approx(260)
    assert found.statistics["annual_mean_lower"] is None
    assert found.result.series[1].values == (None,) * 12
    assert "needs 10 complete years" in str(found.result.metrics.notes["no_interval"])


def test_a_model_without_annual_cycle_is_compared_all_the_same(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "ensemble-bias", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", 260.0, years=9)
    dataset = definition.datasets[0].model_copy(update={"files": (path,)})
    found = run(with_files(definition, dataset, *definition.datasets[1:6]), tmp_path / "out")
    assert found.statistics["standard_deviation_ratio"] == pytest.approx(0, abs=1e-9)
    assert found.statistics["correlation"] is None
    assert found.statistics["bias_lower"] is None
    assert "needs 10 complete years" in str(found.result.metrics.notes["no_interval"])


def test_data_that_never_vary_have_intervals_without_width(catalogue: Catalogue, tmp_path: Path) -> None:
    definition = define(catalogue, "annual-cycle", "CanESM5")
    path = write_temperature(tmp_path / "made-up.nc", 260.0)
    dataset = definition.datasets[0].model_copy(update={"files": (path,)})
    found = run(with_files(definition, dataset), tmp_path / "out").statistics
    assert found["annual_mean_lower"] == found["annual_mean_upper"] == pytest.approx(260)
    assert found["first_harmonic_variance_fraction_lower"] is None

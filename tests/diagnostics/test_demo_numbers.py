"""The numbers of the demo against a second computation that shares no code with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
from scipy import stats

from climate_ref_prefect.diagnostics.catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.definition import Dataset
from climate_ref_prefect.diagnostics.demo.data import sample_data_root
from tests.diagnostics.demo_runs import Run, define, run

OTHERS = 5
"""Models of the ensemble in these tests: to read all in the plain way takes long."""
MONTHLY_MODELS = ["CanESM5", "AWI-CM-1-1-MR", "KACE-1-0-G", "IITM-ESM", "CESM2-FV2"]
DAILY_MODELS = ["CanESM5", "KACE-1-0-G", "AWI-ESM-1-1-LR"]


@dataclass(frozen=True)
class Plain:
    """Area means of a data set in the plainest way: every file, every time, a date object each."""

    temperature: Any
    dates: Any

    @property
    def years(self) -> Any:
        return np.array([date.year for date in self.dates])

    @property
    def months(self) -> Any:
        return np.array([date.month for date in self.dates])

    def between(self, first: int, last: int) -> "Plain":
        chosen = (self.years >= first) & (self.years <= last)
        return Plain(self.temperature[chosen], self.dates[chosen])


def plain(dataset: Dataset) -> Plain:
    level = {"Amon": 92500, "day": 85000}[dataset.facets["table_id"]]
    temperature, dates = [], []
    for path in dataset.files:
        with netCDF4.Dataset(path) as file:
            index = file["plev"][:].round().tolist().index(level)
            field = file["ta"][:].astype("f8")[:, index].mean(axis=-1)
            temperature.append(np.ma.average(field, axis=1, weights=np.cos(np.radians(file["lat"][:]))))
            dates.append(cftime.num2date(file["time"][:], file["time"].units, file["time"].calendar))
    return Plain(np.ma.concatenate(temperature).filled(), np.concatenate(dates))


def climatology(record: Plain) -> Any:
    """Mean of the means of each year's month, which is how daily data are defined to be averaged."""
    years, months = record.years, record.months

    def mean(year: int, month: int) -> Any:
        return record.temperature[(months == month) & (years == year)].mean()

    return np.array([np.mean([mean(year, month) for year in np.unique(years)]) for month in range(1, 13)])


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return scan(sample_data_root())


def ran(catalogue: Catalogue, directory: Path, diagnostic: str, model: str, table: str = "Amon") -> Run:
    return run(define(catalogue, diagnostic, model, table), directory)


@pytest.mark.parametrize(
    ("model", "table"), [(model, "Amon") for model in MONTHLY_MODELS] + [(model, "day") for model in DAILY_MODELS]
)
def test_annual_cycle(catalogue: Catalogue, tmp_path: Path, model: str, table: str) -> None:
    first, last = {"Amon": (1981, 2010), "day": (2000, 2002)}[table]
    found = ran(catalogue, tmp_path, "annual-cycle", model, table)
    expected = climatology(plain(found.definition.datasets[0]).between(first, last))
    spectrum = np.fft.rfft(expected) / 12
    power = np.abs(spectrum[1:]) ** 2
    assert found.result.series[0].values == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert found.statistics == pytest.approx(
        {
            "annual_mean": spectrum[0].real,
            "annual_range": np.ptp(expected),
            "first_harmonic_amplitude": 2 * abs(spectrum[1]),
            "first_harmonic_phase": (0.5 - np.angle(spectrum[1]) * 12 / (2 * np.pi)) % 12,
            "first_harmonic_variance_fraction": power[0] / (power[:-1].sum() + power[-1] / 2),
            "years_used": last - first + 1,
        },
        rel=1e-6,
        abs=1e-6,
    )


@pytest.mark.parametrize("model", MONTHLY_MODELS)
def test_linear_trend(catalogue: Catalogue, tmp_path: Path, model: str) -> None:
    found = ran(catalogue, tmp_path, "linear-trend", model)
    record = plain(found.definition.datasets[0]).between(1950, 2014)
    days = np.array([date.daysinmonth for date in record.dates])
    years = np.arange(1950, 2015)
    means = [np.average(record.temperature[record.years == y], weights=days[record.years == y]) for y in years]
    line = stats.linregress(years, means)
    residuals = means - (line.intercept + line.slope * years)
    lag1 = np.sum(residuals[1:] * residuals[:-1]) / np.sum(residuals**2)
    effective = min(65.0, 65 * (1 - lag1) / (1 + lag1))
    error = line.stderr * np.sqrt((65 - 2) / (effective - 2))
    lower, upper = stats.t.interval(0.95, effective - 2, loc=line.slope, scale=error)
    assert found.statistics == pytest.approx(
        {
            "trend": line.slope * 10,
            "trend_standard_error": error * 10,
            "trend_lower": lower * 10,
            "trend_upper": upper * 10,
            "p_value": 2 * stats.t.sf(abs(line.slope / error), effective - 2),
            "lag1_autocorrelation": lag1,
            "effective_sample_size": effective,
            "years_used": 65,
        },
        rel=1e-6,
        abs=1e-6,
    )


@pytest.mark.parametrize("model", ["CanESM5", "E3SM-1-0"])
def test_ensemble_bias(catalogue: Catalogue, tmp_path: Path, model: str) -> None:
    whole = define(catalogue, "ensemble-bias", model)
    few = [dataset for dataset in whole.datasets if len(dataset.files) < 10][: OTHERS + 1]
    found = run(whole.model_copy(update={"datasets": tuple(few)}), tmp_path)
    ours, *rest = [climatology(plain(dataset).between(1981, 2010)) for dataset in few]
    others = np.array(rest)
    reference = others.mean(axis=0)
    bias = ours.mean() - reference.mean()
    squared = np.mean((ours - reference) ** 2)
    assert found.statistics == pytest.approx(
        {
            "bias": bias,
            "bias_standardised": bias / np.std(others.mean(axis=1), ddof=1),
            "centred_rmse": np.sqrt(squared - bias**2),
            "correlation": np.corrcoef(ours, reference)[0, 1],
            "standard_deviation_ratio": ours.std() / reference.std(),
            "reference_models": OTHERS,
        },
        rel=1e-6,
        abs=1e-6,
    )
    assert found.result.series[0].values == pytest.approx(ours - reference, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("model", DAILY_MODELS)
def test_daily_variability(catalogue: Catalogue, tmp_path: Path, model: str) -> None:
    found = ran(catalogue, tmp_path, "daily-variability", model, "day")
    record = plain(found.definition.datasets[0]).between(2000, 2002)
    length = {year: np.sum(record.years == year) for year in (2000, 2001, 2002)}
    phase = np.array([(date.dayofyr - 0.5) / length[date.year] for date in record.dates])
    waves = [f(2 * np.pi * k * phase) for k in (1, 2, 3) for f in (np.cos, np.sin)]
    design = np.column_stack([np.ones_like(phase), *waves])
    anomalies = record.temperature - design @ np.linalg.lstsq(design, record.temperature)[0]
    lag1 = np.correlate(anomalies[1:], anomalies[:-1])[0] / np.correlate(anomalies, anomalies)[0]
    winter, summer = np.isin(record.months, (12, 1, 2)), np.isin(record.months, (6, 7, 8))
    assert found.statistics == pytest.approx(
        {
            "standard_deviation": anomalies.std(),
            "standard_deviation_djf": np.sqrt(np.mean(anomalies[winter] ** 2)),
            "standard_deviation_jja": np.sqrt(np.mean(anomalies[summer] ** 2)),
            "lag1_autocorrelation": lag1,
            "decorrelation_time": (1 + lag1) / (1 - lag1),
            "percentile_05": np.quantile(anomalies, 0.05),
            "percentile_95": np.quantile(anomalies, 0.95),
        },
        rel=1e-6,
        abs=1e-6,
    )
    lag20 = np.correlate(anomalies[20:], anomalies[:-20])[0] / np.correlate(anomalies, anomalies)[0]
    assert found.result.series[1].values[20] == pytest.approx(lag20, rel=1e-6, abs=1e-6)

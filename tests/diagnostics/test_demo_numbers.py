"""The numbers of the demo against a second computation that shares no code with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
from scipy import stats

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.execution_definition import Dataset
from tests.diagnostics.demo_runs import Run, define, run

OTHERS = 5
"""Models of the ensemble in these tests: to read all in the plain way takes long."""
MONTHLY_MODELS = ["CanESM5", "AWI-CM-1-1-MR", "KACE-1-0-G", "IITM-ESM", "CESM2-FV2"]
LOGARITHM = (np.log, np.exp)
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


def estimates(found: Run) -> dict[str, float | None]:
    """Without the ends of intervals, but for the trend's own, which is no result of resampling."""
    ends = [name for name in found.statistics if name.endswith(("_lower", "_upper"))]
    resampled = set(ends) - {"trend_lower", "trend_upper"}
    return {name: value for name, value in found.statistics.items() if name not in resampled}


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
    assert estimates(found) == pytest.approx(
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
    assert estimates(found) == pytest.approx(
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
    assert estimates(found) == pytest.approx(
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
    assert estimates(found) == pytest.approx(
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
    assert found.result.series[3].values[20] == pytest.approx(lag20, rel=1e-6, abs=1e-6)


class TestIntervals:
    """Against resamples made one after the other, with other random numbers, in the plainest way."""

    def test_annual_cycle(self, catalogue: Catalogue, tmp_path: Path) -> None:
        found = ran(catalogue, tmp_path, "annual-cycle", "CanESM5")
        monthly = by_year(plain(found.definition.datasets[0]).between(1981, 2010))
        line = np.polynomial.polynomial.polyfit(np.arange(30), monthly, 1)
        residuals = (monthly - line[0] - np.arange(30)[:, np.newaxis] * line[1]) * np.sqrt(30 / 28)
        resampled = [monthly.mean(axis=0) + one.mean(axis=0) for one in resamples(residuals, residuals.mean(axis=1))]
        check(found, "annual_mean", np.mean(resampled, axis=1))
        check(found, "first_harmonic_amplitude", np.abs(np.fft.rfft(resampled)[:, 1]) / 6, LOGARITHM)
        lower, upper = (found.result.series[end].values[0] for end in (1, 2))
        assert (lower, upper) == pytest.approx(basic(monthly.mean(axis=0)[0], np.array(resampled)[:, 0]), abs=0.1)

    def test_linear_trend(self, catalogue: Catalogue, tmp_path: Path) -> None:
        found = ran(catalogue, tmp_path, "linear-trend", "AWI-CM-1-1-MR")
        years, means = np.array(found.result.series[0].index), np.array(found.result.series[0].values)
        line = stats.linregress(years, means)
        residuals = (means - line.intercept - line.slope * years) * np.sqrt(65 / 63)
        resampled = np.array(list(resamples(residuals, residuals)))
        slopes = 10 * (line.slope + np.polyfit(years - years.mean(), resampled.T, 1)[0])
        ends = basic(10 * line.slope, slopes)
        found_ends = found.statistics["trend_bootstrap_lower"], found.statistics["trend_bootstrap_upper"]
        assert found_ends == pytest.approx(ends, abs=0.1 * (ends[1] - ends[0]))

    def test_ensemble_bias(self, catalogue: Catalogue, tmp_path: Path) -> None:
        whole = define(catalogue, "ensemble-bias", "CanESM5")
        few = [dataset for dataset in whole.datasets if len(dataset.files) < 10][: OTHERS + 1]
        found = run(whole.model_copy(update={"datasets": tuple(few)}), tmp_path)
        years = [by_year(plain(dataset).between(1981, 2010)).mean(axis=1) for dataset in few]
        others = np.mean(years[1:], axis=1)
        own = stats.linregress(np.arange(30), years[0])
        residuals = (years[0] - own.intercept - own.slope * np.arange(30)) * np.sqrt(30 / 28)
        spread = others.std() * np.sqrt(OTHERS / (OTHERS - 1))
        generator, biases = np.random.default_rng(3), []
        for one in resamples(residuals, residuals):
            chosen = generator.choice((others - others.mean()) / others.std(), OTHERS)
            biases.append(years[0].mean() + one.mean() - others.mean() - spread * chosen.mean())
        check(found, "bias", biases)

    def test_daily_variability(self, catalogue: Catalogue, tmp_path: Path) -> None:
        found = ran(catalogue, tmp_path, "daily-variability", "CanESM5", "day")
        record = plain(found.definition.datasets[0]).between(2000, 2002)
        phase = np.array([(date.dayofyr - 0.5) / 365 for date in record.dates])
        waves = [f(2 * np.pi * k * phase) for k in (1, 2, 3) for f in (np.cos, np.sin)]
        design = np.column_stack([np.ones_like(phase), *waves])
        anomalies = without(design, record.temperature)
        variances = [np.log(np.mean(anomalies[record.months == month] ** 2)) for month in range(1, 13)]
        spectrum = np.fft.rfft(variances)
        spectrum[2:] = 0
        scale = np.exp(np.fft.irfft(spectrum, 12) / 2)[record.months - 1]
        noise = anomalies / scale - np.mean(anomalies / scale)
        one_by_one = [without(design, one * scale) for one in resamples(noise, noise, 40)]
        winter = np.isin(record.months, (12, 1, 2))
        for name, days in {"standard_deviation": winter | True, "standard_deviation_djf": winter}.items():
            truth = np.sqrt(np.mean((scale * noise.std())[days] ** 2))
            replicates = [np.sqrt(np.mean(one[days] ** 2)) for one in one_by_one]
            check(found, name, replicates, LOGARITHM, truth)


def by_year(record: Plain) -> Any:
    def mean(year: int, month: int) -> Any:
        return record.temperature[(record.years == year) & (record.months == month)].mean()

    return np.array([[mean(year, month) for month in range(1, 13)] for year in np.unique(record.years)])


def without(design: Any, values: Any) -> Any:
    return values - design @ np.linalg.lstsq(design, values)[0]


def resamples(values: Any, series: Any, least: int = 1) -> Any:
    """Two thousand resamples, in blocks as long as the autocorrelation of the series says."""
    generator, size = np.random.default_rng(2), len(values)
    lag1 = np.sum(series[1:] * series[:-1]) / np.sum(series**2)
    length = max(least, int(np.ceil(np.cbrt(6 * size) * np.cbrt(max(lag1, 1e-9) / (1 - lag1**2)) ** 2)))
    for _ in range(2000):
        starts = generator.integers(size, size=size // length + 1)
        yield np.concatenate([np.roll(values, -start, axis=0)[:length] for start in starts])[:size]


def basic(value: Any, replicates: Any, truth: Any = None) -> tuple[float, float]:
    low, high = np.quantile(replicates, (0.025, 0.975))
    centre = value + (value if truth is None else truth)
    return float(centre - high), float(centre - low)


def check(found: Run, name: str, replicates: Any, scale: Any = (np.positive, np.positive), truth: Any = None) -> None:
    forward, backward = scale
    known = None if truth is None else forward(truth)
    lower, upper = backward(basic(forward(found.statistics[name]), forward(replicates), known))
    resampled = found.statistics[f"{name}_lower"], found.statistics[f"{name}_upper"]
    assert resampled == pytest.approx((lower, upper), abs=0.1 * (upper - lower))

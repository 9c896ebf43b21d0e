"""The plots of the variability from day to day: the daily series, its autocorrelation and its extremes."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from climate_ref_prefect.diagnostics.demo.calculations.anomalies import Anomalies
from climate_ref_prefect.diagnostics.demo.calculations.daily_variability import (
    LONGEST_LAG,
    NORMAL_QUANTILES,
    Variability,
    VariabilityUncertainty,
)
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Record
from climate_ref_prefect.diagnostics.demo.plots.plot_style import (
    BLUE,
    GREY,
    MONTH_NUMBERS,
    RED,
    TEMPERATURE,
    legend,
    make_room,
    monthly_intervals,
    months,
    save,
    stacked_panels,
    two_panels,
)


def draw(path: Path, title: str, record: Record, found: tuple[Anomalies, Variability, VariabilityUncertainty]) -> None:
    """Draw the daily values with their annual cycle, and the standard deviation in each month."""
    anomalies, variability, uncertainty = found
    figure, upper, lower = stacked_panels(same_months=False)
    time = record.year + anomalies.phase
    upper.plot(time, anomalies.values, color=GREY, linewidth=0.8, label="Daily mean")
    upper.plot(time, anomalies.seasonal, color=RED, linewidth=2, label="Annual cycle (three harmonics)")
    upper.set_xticks([*record.years.tolist(), int(record.years[-1]) + 1])
    upper.set_xlabel("Year")
    upper.set_ylabel(TEMPERATURE)
    make_room(upper)
    legend(upper, columns=2)
    deviation = variability.spread.monthly_deviation()
    lower.bar(MONTH_NUMBERS, deviation, color=BLUE, label="Standard deviation of anomalies")
    monthly_intervals(lower, uncertainty.monthly_deviation)
    months(lower)
    lower.set_ylabel("[K]")
    make_room(lower, 0.3)
    legend(lower, columns=2)
    save(figure, path, title)


def draw_quantiles(path: Path, title: str, variability: Variability, uncertainty: VariabilityUncertainty) -> None:
    """Draw how long anomalies last, and their quantiles against those of a normal distribution."""
    figure, left, right = two_panels()
    _draw_memory(left, variability, uncertainty)
    _draw_quantiles(right, variability, uncertainty)
    save(figure, path, title)


def _draw_memory(axes: Axes, variability: Variability, uncertainty: VariabilityUncertainty) -> None:
    lags, band = np.arange(LONGEST_LAG + 1), uncertainty.correlations
    axes.fill_between(lags, band.lower, band.upper, color=BLUE, alpha=0.2, linewidth=0, label="95 % interval")
    axes.plot(lags, variability.correlations, color=BLUE, marker="o", markersize=3, label="Anomalies")
    expected = variability.correlations[1] ** lags
    axes.plot(lags, expected, color=RED, linestyle="--", label="First-order process")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("Lag [days]")
    axes.set_ylabel("Autocorrelation")
    legend(axes, "upper right")


def _draw_quantiles(axes: Axes, variability: Variability, uncertainty: VariabilityUncertainty) -> None:
    band, normal = uncertainty.quantiles, NORMAL_QUANTILES * float(variability.spread.deviation())
    axes.fill_between(
        NORMAL_QUANTILES, band.lower, band.upper, color=BLUE, alpha=0.2, linewidth=0, label="95 % interval"
    )
    found = variability.spread.quantiles
    axes.plot(NORMAL_QUANTILES, found, color=BLUE, marker="o", markersize=3, label="Anomalies")
    axes.plot(NORMAL_QUANTILES, normal, color=RED, linestyle="--", label="Normal distribution")
    axes.set_xlabel("Quantile of a normal distribution")
    axes.set_ylabel("Quantile of anomalies [K]")
    legend(axes)

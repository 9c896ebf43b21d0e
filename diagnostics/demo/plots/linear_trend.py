"""The plots of the trend: the line through the years; its residuals and the trends of its resamples."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from climate_ref_prefect.diagnostics.demo.calculations.linear_trend import Trend, TrendUncertainty
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats, Integers
from climate_ref_prefect.diagnostics.demo.plots.plot_style import (
    BLUE,
    GREY,
    NORMAL_LIMIT,
    RED,
    TEMPERATURE,
    legend,
    make_room,
    one_panel,
    save,
    two_panels,
)

_BINS = 60


def draw(path: Path, title: str, fit: tuple[Integers, Floats, Trend], uncertainty: TrendUncertainty | None) -> None:
    """Draw the annual means, the trend and its confidence."""
    years, means, trend = fit
    figure, axes = one_panel()
    axes.plot(years, means, color=GREY, marker="o", markersize=3, linewidth=1, label="Annual mean")
    line = trend.line(years)
    if line is not None:
        axes.plot(years, line, color=RED, linewidth=2, label=_label(trend))
    if uncertainty:
        band, label = uncertainty.line, "95 % interval of the line, resampled"
        axes.fill_between(years, band.lower, band.upper, color=RED, alpha=0.2, linewidth=0, label=label)
    axes.set_xlabel("Year")
    axes.set_ylabel(TEMPERATURE)
    make_room(axes)
    legend(axes)
    save(figure, path, title)


def draw_confidence(path: Path, title: str, trend: Trend, uncertainty: TrendUncertainty) -> None:
    """Draw how the residuals hang together, and how the trends of resamples are distributed."""
    figure, left, right = two_panels()
    _draw_memory(left, trend, uncertainty)
    _draw_slopes(right, trend, uncertainty)
    save(figure, path, title)


def _draw_memory(axes: Axes, trend: Trend, uncertainty: TrendUncertainty) -> None:
    lags = np.arange(len(uncertainty.correlations))
    limit = NORMAL_LIMIT / np.sqrt(trend.years)
    axes.axhspan(-limit, limit, color=GREY, alpha=0.3, linewidth=0, label="95 % of white noise")
    axes.vlines(lags, 0, uncertainty.correlations, color=BLUE, linewidth=4, label="Residuals")
    expected = (trend.autocorrelation or 0.0) ** lags
    axes.plot(lags, expected, color=RED, linestyle="--", label="First-order process")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("Lag [years]")
    axes.set_ylabel("Autocorrelation of the residuals")
    legend(axes, "upper right")


def _draw_slopes(axes: Axes, trend: Trend, uncertainty: TrendUncertainty) -> None:
    counts, edges = np.histogram(uncertainty.slopes, _BINS)
    slope, height = uncertainty.statistics["trend_bootstrap"], float(counts.max())
    axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.4, label=f"{len(uncertainty.slopes)} resamples")
    axes.vlines(0, 0, 1.2 * height, color="black", linewidth=0.8, linestyle=":")
    axes.vlines(trend.slope or 0.0, 0, 1.2 * height, color=RED, linewidth=2, label="Trend")
    if trend.lower is not None and trend.upper is not None:
        label = "95 % interval, Santer et al."
        axes.hlines(1.14 * height, trend.lower, trend.upper, color=RED, linewidth=3, label=label)
    axes.hlines(1.07 * height, slope.lower, slope.upper, color="black", linewidth=3, label="95 % interval, resampled")
    axes.set_ylim(0, 1.6 * height)
    axes.set_xlabel("Trend [K/decade]")
    axes.set_yticks([])
    legend(axes)


def _label(trend: Trend) -> str:
    label = f"{trend.slope:+.2f} K/decade"
    if trend.lower is None or trend.upper is None or trend.p_value is None:
        return label
    p_value = "p < 0.001" if trend.p_value < 0.001 else f"p = {trend.p_value:.3f}"  # noqa: PLR2004
    return f"{label}, 95 % interval {trend.lower:+.2f} to {trend.upper:+.2f}, {p_value}"

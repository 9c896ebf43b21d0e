"""The plots of the demo, one per diagnostic; drawn without pyplot, which keeps figures and needs a display."""

from __future__ import annotations

import string
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from climate_ref_prefect.diagnostics.demo.reading import Extent
from climate_ref_prefect.diagnostics.demo.record import MONTHS, Floats, Integers, Record
from climate_ref_prefect.diagnostics.demo.results import Subject

if TYPE_CHECKING:  # the diagnostics import this module
    from climate_ref_prefect.diagnostics.demo.annual_cycle import AnnualCycle
    from climate_ref_prefect.diagnostics.demo.daily_variability import Variability
    from climate_ref_prefect.diagnostics.demo.ensemble_bias import Comparison
    from climate_ref_prefect.diagnostics.demo.linear_trend import Trend

_BLUE, _RED, _GREY = "#0072b2", "#d55e00", "#9a9a9a"
"""Colours that the colour-blind can tell apart (Okabe and Ito 2008)."""
_DPI = 120
_MARGINS = {"left": 0.1, "right": 0.97, "bottom": 0.11, "top": 0.88, "hspace": 0.08}
"""Set by hand: to have them found takes as long as all the rest of a plot."""
_TEMPERATURE = "Air temperature [K]"
_MONTH_LETTERS = "JFMAMJJASOND"
_MONTHS = np.arange(1, MONTHS + 1)


def rehearse() -> None:
    """Draw one of everything on nothing: glyphs, styles and layouts are then known to every child forked later."""
    figure = Figure(figsize=(8, 6.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1), gridspec_kw=_MARGINS)
    upper.add_collection(LineCollection([np.column_stack((_MONTHS, _MONTHS))], colors=_GREY, linewidths=0.5))
    upper.plot(_MONTHS, _MONTHS, color=_BLUE, marker="o", label=f"± {string.printable.strip()}°".replace("$", ""))
    upper.plot(_MONTHS, _MONTHS, color=_RED, linestyle="--", linewidth=2)
    _make_room(upper)
    upper.legend(frameon=False, loc="upper left", ncols=2, fontsize="small")
    lower.bar(_MONTHS, _MONTHS)
    lower.fill_between(_MONTHS, _MONTHS, color=_GREY, alpha=0.3, linewidth=0)
    lower.axhline(0, color="black", linewidth=0.8)
    _months(lower)
    lower.set_ylabel(_TEMPERATURE)
    upper.grid(visible=True, alpha=0.3)
    upper.set_title("Title\nSubtitle", loc="left", fontsize="medium")
    figure.savefig(BytesIO(), dpi=_DPI)


def annual_cycle(path: Path, subject: Subject, extent: Extent, cycle: AnnualCycle, years: str) -> None:
    """Draw the climatology with its spread among the years, and its first harmonic."""
    figure = Figure(figsize=(8, 4.8))
    axes = figure.subplots(gridspec_kw=_MARGINS)
    low, high = cycle.climatology - cycle.deviation, cycle.climatology + cycle.deviation
    axes.fill_between(_MONTHS, low, high, color=_BLUE, alpha=0.2, linewidth=0, label="± 1 standard deviation")
    axes.plot(_MONTHS, cycle.climatology, color=_BLUE, marker="o", label=f"Climatology {years}")
    label = f"First harmonic, amplitude {cycle.amplitude:.1f} K"
    axes.plot(_MONTHS, cycle.harmonic, color=_RED, linestyle="--", label=label)
    _months(axes)
    axes.set_ylabel(_TEMPERATURE)
    axes.legend(frameon=False, loc="upper left", fontsize="small")
    _finish(figure, axes, path, f"{subject.title}: annual cycle {years}\n{subject.place(extent)}")


def linear_trend(path: Path, subject: Subject, extent: Extent, fit: tuple[Integers, Floats, Trend]) -> None:
    """Draw the annual means, and the trend with its confidence interval."""
    years, means, trend = fit
    figure = Figure(figsize=(8, 4.8))
    axes = figure.subplots(gridspec_kw=_MARGINS)
    axes.plot(years, means, color=_GREY, marker="o", markersize=3, linewidth=1, label="Annual mean")
    line = trend.line(years)
    if line is not None:
        axes.plot(years, line, color=_RED, linewidth=2, label=_trend_label(trend))
    axes.set_xlabel("Year")
    axes.set_ylabel(_TEMPERATURE)
    _make_room(axes)
    axes.legend(frameon=False, loc="upper left", fontsize="small")
    _finish(figure, axes, path, f"{subject.title}: linear trend {years[0]}-{years[-1]}\n{subject.place(extent)}")


def _trend_label(trend: Trend) -> str:
    label = f"{trend.slope:+.2f} K/decade"
    if trend.lower is None or trend.upper is None or trend.p_value is None:
        return label
    p_value = "p < 0.001" if trend.p_value < 0.001 else f"p = {trend.p_value:.3f}"  # noqa: PLR2004
    return f"{label}, 95 % interval {trend.lower:+.2f} to {trend.upper:+.2f}, {p_value}"


def ensemble_bias(path: Path, subject: Subject, extent: Extent, comparison: Comparison, years: str) -> None:
    """Draw the annual cycle of the model among those of the others, and its bias in each month."""
    figure = Figure(figsize=(8, 6.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1), gridspec_kw=_MARGINS)
    each = [np.column_stack((_MONTHS, row)) for row in comparison.others]
    upper.add_collection(LineCollection(each, colors=_GREY, linewidths=0.5, alpha=0.7))
    upper.plot(_MONTHS, comparison.reference, color="black", linewidth=2, label=_others_label(comparison))
    upper.plot(_MONTHS, comparison.model, color=_BLUE, marker="o", label=subject.dimensions["source_id"])
    upper.set_ylabel(_TEMPERATURE)
    upper.legend(frameon=False, loc="upper left", fontsize="small")
    _ensemble_bias_bars(lower, comparison)
    upper.grid(visible=True, alpha=0.3)
    title = f"{subject.title}: against the other models {years}\n{subject.place(extent)}"
    upper.set_title(title, loc="left", fontsize="medium")
    figure.savefig(path, dpi=_DPI)


def _others_label(comparison: Comparison) -> str:
    return f"Mean of {len(comparison.others)} other models (each in grey)"


def _ensemble_bias_bars(axes: Axes, comparison: Comparison) -> None:
    axes.bar(_MONTHS, comparison.model - comparison.reference, color=_BLUE, label="Bias")
    spread = comparison.spread
    label = "± 1 standard deviation among the others"
    axes.fill_between(_MONTHS, -spread, spread, color=_GREY, alpha=0.3, linewidth=0, label=label)
    axes.axhline(0, color="black", linewidth=0.8)
    _months(axes)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.35 * (high - low), high)  # room for the legend
    axes.set_ylabel("Bias [K]")
    axes.legend(frameon=False, loc="lower center", ncols=2, fontsize="small")
    axes.grid(visible=True, alpha=0.3)


def daily_variability(path: Path, subject: Subject, extent: Extent, found: Variability, record: Record) -> None:
    """Draw the daily values with their annual cycle, and the standard deviation in each month."""
    figure = Figure(figsize=(8, 6.4))
    upper, lower = figure.subplots(2, 1, height_ratios=(2, 1), gridspec_kw={**_MARGINS, "hspace": 0.3})
    time = record.year + record.phase
    upper.plot(time, found.values, color=_GREY, linewidth=0.8, label="Daily mean")
    upper.plot(time, found.seasonal, color=_RED, linewidth=2, label="Annual cycle (three harmonics)")
    upper.set_xticks([*record.years.tolist(), int(record.years[-1]) + 1])
    upper.set_xlabel("Year")
    upper.set_ylabel(_TEMPERATURE)
    _make_room(upper)
    upper.legend(frameon=False, loc="upper left", ncols=2, fontsize="small")
    upper.grid(visible=True, alpha=0.3)
    title = f"{subject.title}: variability from day to day\n{subject.place(extent)}"
    upper.set_title(title, loc="left", fontsize="medium")
    lower.bar(_MONTHS, found.monthly_deviation(), color=_BLUE)
    _months(lower)
    lower.set_ylabel("Standard deviation\nof anomalies [K]")
    lower.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=_DPI)


def _make_room(axes: Axes) -> None:
    """Leave the top of the axes to the legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.15 * (high - low))


def _months(axes: Axes) -> None:
    axes.set_xticks(_MONTHS, list(_MONTH_LETTERS))
    axes.set_xlabel("Month")


def _finish(figure: Figure, axes: Axes, path: Path, title: str) -> None:
    axes.set_title(title, loc="left", fontsize="medium")
    axes.grid(visible=True, alpha=0.3)
    figure.savefig(path, dpi=_DPI)

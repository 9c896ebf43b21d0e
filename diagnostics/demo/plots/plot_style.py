"""What all plots of the demo have in common: sizes, colours, and parts that more than one of them has."""

from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import Interval
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS

BLUE, RED, GREY = "#0072b2", "#d55e00", "#9a9a9a"
"""Colours that the colour-blind can tell apart (Okabe and Ito 2008)."""
NORMAL_LIMIT = 1.96
"""95 % of a normal distribution lie within so many standard deviations of its mean."""
TEMPERATURE = "Air temperature [K]"
MONTH_NUMBERS = np.arange(1, MONTHS + 1)

Place = Literal["upper left", "upper right", "lower center"]

_DPI = 120
_MONTH_LETTERS = "JFMAMJJASOND"
_MARGINS = {"left": 0.1, "right": 0.97, "bottom": 0.11, "top": 0.88}
"""Set by hand: to have them found takes as long as all the rest of a plot."""
_FAINT = 0.3
_TICKS = 5
"""At most, on the axes of a narrow panel; each takes about a hundredth of the time of a plot."""
_COMPRESSION = 3
"""Of PNG: the usual 6 takes half as long again, for files that are hardly smaller."""


def one_panel(*, grid: bool = True) -> tuple[Figure, Axes]:
    """Return a new figure of one panel."""
    figure = Figure(figsize=(8, 4.8))
    axes = figure.subplots(gridspec_kw=_MARGINS)
    if grid:
        axes.grid(visible=True, alpha=_FAINT)
    return figure, axes


def stacked_panels(*, same_months: bool) -> tuple[Figure, Axes, Axes]:
    """Return a new figure of a high panel above a low one, with the same months on both axes or without."""
    figure = Figure(figsize=(8, 6.4))
    margins = {**_MARGINS, "hspace": 0.08 if same_months else 0.3}
    upper, lower = figure.subplots(2, 1, sharex=same_months, height_ratios=(2, 1), gridspec_kw=margins)
    for axes in (upper, lower):
        axes.grid(visible=True, alpha=_FAINT)
    return figure, upper, lower


def two_panels() -> tuple[Figure, Axes, Axes]:
    """Return a new figure of two panels side by side."""
    figure = Figure(figsize=(8, 4.8))
    left, right = figure.subplots(1, 2, gridspec_kw={**_MARGINS, "wspace": 0.25})
    for axes in (left, right):
        axes.locator_params(nbins=_TICKS)
    return figure, left, right


def months(axes: Axes) -> None:
    """Have a month at each tick."""
    axes.set_xticks(MONTH_NUMBERS, list(_MONTH_LETTERS))
    axes.set_xlabel("Month")


def monthly_intervals(axes: Axes, interval: Interval) -> None:
    """Draw the confidence interval of each month."""
    axes.vlines(
        MONTH_NUMBERS, interval.lower, interval.upper, color="black", linewidth=1.5, label="95 % interval", zorder=3
    )


def make_room(axes: Axes, share: float = 0.15) -> None:
    """Leave the top of the axes to the legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + share * (high - low))


def legend(axes: Axes, place: Place = "upper left", columns: int = 1) -> None:
    """Say what is what."""
    axes.legend(frameon=False, loc=place, ncols=columns, fontsize="small")


def save(figure: Figure, path: Path, title: str) -> None:
    """Write a figure, with a title above its first panel."""
    figure.axes[0].set_title(title, loc="left", fontsize="medium")
    figure.savefig(path, dpi=_DPI, pil_kwargs={"compress_level": _COMPRESSION})

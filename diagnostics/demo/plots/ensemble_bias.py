"""The plots of the comparison with the other models: annual cycle and bias, and a Taylor diagram."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import Interval
from climate_ref_prefect.diagnostics.demo.calculations.ensemble_bias import Comparison, ComparisonUncertainty, compare
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats
from climate_ref_prefect.diagnostics.demo.plots.plot_style import (
    BLUE,
    GREY,
    MONTH_NUMBERS,
    RED,
    TEMPERATURE,
    legend,
    monthly_intervals,
    months,
    one_panel,
    save,
    stacked_panels,
)

_CORRELATIONS = (1.0, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.6, 0.3)
_STEPS = (0.02, 0.05, 0.1, 0.2, 0.5)
_CIRCLES = 4
"""How many circles about the reference are to be seen at least."""
_LINE = 30
"""Points of a curved line."""
_SHAPE = 1.88
"""Width of the panel, divided by its height."""
_LEAST_HEIGHT = 0.1
_FLAT = 1e-6
"""Slope of the ray of a correlation of one, so that something can be divided by it."""
_CROWDED = 0.1
"""Part of the width, on the left, that is kept free of labels."""


def draw(path: Path, title: str, comparison: Comparison, uncertainty: ComparisonUncertainty, name: str) -> None:
    """Draw the annual cycle of the model of this name among those of the others, and its bias in each month."""
    figure, upper, lower = stacked_panels(same_months=True)
    each = [np.column_stack((MONTH_NUMBERS, row)) for row in comparison.others]
    upper.add_collection(LineCollection(each, colors=GREY, linewidths=0.5, alpha=0.7))
    label = f"Mean of {len(comparison.others)} other models (each in grey)"
    upper.plot(MONTH_NUMBERS, comparison.reference, color="black", linewidth=2, label=label)
    upper.plot(MONTH_NUMBERS, comparison.model, color=BLUE, marker="o", label=name)
    upper.set_ylabel(TEMPERATURE)
    legend(upper)
    _draw_bias(lower, comparison, uncertainty)
    save(figure, path, title)


def _draw_bias(axes: Axes, comparison: Comparison, uncertainty: ComparisonUncertainty) -> None:
    axes.bar(MONTH_NUMBERS, comparison.bias, color=BLUE, label="Bias")
    spread = comparison.spread
    label = "± 1 standard deviation among the others"
    axes.fill_between(MONTH_NUMBERS, -spread, spread, color=GREY, alpha=0.3, linewidth=0, label=label)
    monthly_intervals(axes, uncertainty.bias)
    axes.axhline(0, color="black", linewidth=0.8)
    months(axes)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.35 * (high - low), high)  # room for the legend
    axes.set_ylabel("Bias [K]")
    legend(axes, "lower center", columns=3)


def draw_taylor(path: Path, title: str, comparison: Comparison, uncertainty: ComparisonUncertainty, name: str) -> None:
    """
    Draw a Taylor diagram of the annual cycles, cut to where the models are.

    The distance from the origin is the ratio of standard deviations, the angle the correlation, the distance from the
    reference the centred difference: Taylor (2001), doi:10.1029/2000JD900719, figure 2.
    """
    figure, axes = one_panel(grid=False)
    found = comparison.statistics()
    others = compare(comparison.others, comparison.reference, 1.0)
    crowd = _points(others["standard_deviation_ratio"], others["correlation"])
    ours = _points(*(np.array(found[key]) for key in ("standard_deviation_ratio", "correlation")))
    _cut(axes, np.column_stack((crowd, ours, (1.0, 0.0))))
    _draw_grid(axes)
    axes.plot(*crowd, color=GREY, marker="o", markersize=4, linestyle="", label="Each other model")
    axes.plot(1, 0, color="black", marker="*", markersize=12, linestyle="", label="Mean of the other models")
    axes.plot(*ours, color=BLUE, marker="o", markersize=8, linestyle="", label=name)
    cross = _cross(found, uncertainty.statistics)
    axes.add_collection(LineCollection(cross, colors="black", zorder=3, label="95 % intervals"), autolim=False)
    axes.set_xlabel("Standard deviation of the annual cycle, divided by that of the reference")
    legend(axes, columns=2)
    save(figure, path, title)


def _points(radius: Floats, correlation: Floats) -> Floats:
    """Return where in the diagram something is, shape (2, ...)."""
    return np.stack([radius * correlation, radius * np.sqrt(np.clip(1 - correlation**2, 0, None))])


def _cross(found: dict[str, float], intervals: dict[str, Interval]) -> list[Floats]:
    """Return the intervals of both coordinates as lines through a point."""
    radius, correlation = found["standard_deviation_ratio"], found["correlation"]
    along, across = intervals["standard_deviation_ratio"], intervals["correlation"]
    lengths = np.linspace(along.lower, along.upper, _LINE)
    turns = np.cos(np.linspace(np.arccos(across.upper), np.arccos(across.lower), _LINE))
    return [_points(lengths, np.full(_LINE, correlation)).T, _points(np.full(_LINE, radius), turns).T]


def _cut(axes: Axes, points: Floats) -> None:
    """Show all points, on axes of equal scales, with room for the legend above."""
    known = points[:, np.isfinite(points).all(axis=0)]
    left, right = known[0].min(), known[0].max()
    height = max(1.6 * known[1].max(), 1.2 * (right - left) / _SHAPE, _LEAST_HEIGHT)
    middle = (left + right) / 2
    axes.set_xlim(middle - height * _SHAPE / 2, middle + height * _SHAPE / 2)
    axes.set_ylim(-0.05 * height, 0.95 * height)
    axes.set_yticks([])


def _draw_grid(axes: Axes) -> None:
    """Draw rays of equal correlation, and circles about origin and reference."""
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    step = max([size for size in _STEPS if size * _CIRCLES <= top] or _STEPS[:1])
    angles, radii = np.linspace(0, np.pi, 4 * _LINE), step * np.arange(1, int(right / step) + 1)
    half = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    label = f"Centred difference in steps of {step:g}"
    about = [radius * half + (1.0, 0.0) for radius in radii]
    axes.add_collection(LineCollection(about, colors=RED, linewidths=0.5, alpha=0.6, label=label), autolim=False)
    circles = [radius * half for radius in radii]
    axes.add_collection(LineCollection(circles, colors=GREY, linewidths=0.5, linestyles=":"), autolim=False)
    slopes = [(correlation, np.tan(np.arccos(correlation))) for correlation in _CORRELATIONS]
    ends = [(correlation, min(right, top / max(slope, _FLAT)), slope) for correlation, slope in slopes]
    rays = [((0.0, 0.0), (end, end * slope)) for _, end, slope in ends]
    axes.add_collection(LineCollection(rays, colors=GREY, linewidths=0.5), autolim=False)
    for correlation, end, slope in ends:
        if end > left + _CROWDED * (right - left):
            axes.text(end, end * slope, f"{correlation:g} ", ha="right", va="top", fontsize="x-small", color="#505050")

"""The plots of the annual cycle: what it is, and how the years depart from it."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from climate_ref_prefect.diagnostics.demo.calculations.annual_cycle import AnnualCycle, CycleUncertainty
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Integers
from climate_ref_prefect.diagnostics.demo.plots.plot_style import (
    BLUE,
    MONTH_NUMBERS,
    RED,
    TEMPERATURE,
    legend,
    monthly_intervals,
    months,
    one_panel,
    save,
)

_YEARS_NAMED = 6


def draw(path: Path, title: str, cycle: AnnualCycle, uncertainty: CycleUncertainty) -> None:
    """Draw the climatology with its spread among the years and its confidence, and its first harmonic."""
    figure, axes = one_panel()
    mean, spread, found = cycle.climatology, cycle.deviation, cycle.statistics()
    label = "± 1 standard deviation of a year"
    axes.fill_between(MONTH_NUMBERS, mean - spread, mean + spread, color=BLUE, alpha=0.2, linewidth=0, label=label)
    axes.plot(MONTH_NUMBERS, mean, color=BLUE, marker="o", markersize=4, label="Climatology")
    monthly_intervals(axes, uncertainty.climatology)
    label = f"First harmonic, amplitude {found['first_harmonic_amplitude']:.1f} K"
    axes.plot(MONTH_NUMBERS, cycle.harmonic, color=RED, linestyle="--", label=label)
    months(axes)
    axes.set_ylabel(TEMPERATURE)
    legend(axes)
    save(figure, path, title)


def draw_years(path: Path, title: str, cycle: AnnualCycle, years: Integers) -> None:
    """Draw how far each month of each year was from the climatology."""
    figure, axes = one_panel(grid=False)
    departures = cycle.monthly - cycle.climatology
    largest = float(abs(departures).max()) or 1.0
    edges = (0.5, 12.5, len(years) - 0.5, -0.5)
    image = axes.imshow(departures, "RdBu_r", aspect="auto", vmin=-largest, vmax=largest, extent=edges)
    months(axes)
    step = -(-len(years) // _YEARS_NAMED)
    axes.set_yticks(np.arange(0, len(years), step), [str(year) for year in years[::step]])
    axes.set_ylabel("Year")
    figure.colorbar(image, ax=axes, pad=0.02, ticks=MaxNLocator(5), label="Departure from the climatology [K]")
    save(figure, path, title)

"""The annual cycle: monthly climatology, range, and amplitude and time of its first harmonic."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.demo import plots
from climate_ref_prefect.diagnostics.demo.base import TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.datafile import Variable, write_netcdf
from climate_ref_prefect.diagnostics.demo.reading import SAMPLINGS, read_area_mean
from climate_ref_prefect.diagnostics.demo.record import MONTHS, Floats, require_years
from climate_ref_prefect.diagnostics.demo.results import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.result import ExecutionResult

MIDDLES = (np.arange(MONTHS) + 0.5) / MONTHS
"""Middles of twelve equal months, as fractions of a year."""
_LEAST_YEARS = 2


@dataclass(frozen=True, slots=True)
class AnnualCycle:
    """A monthly climatology and its first harmonic."""

    climatology: Floats
    """Mean of each calendar month in K, shape (12,)."""
    deviation: Floats
    """Standard deviation of each calendar month among the years in K, shape (12,)."""
    amplitude: float
    """Amplitude of the first harmonic in K."""
    maximum: float
    """Time of the maximum of the first harmonic in months since 1 January, 0 to 12."""
    years: int
    """Years that the climatology is made of."""

    @property
    def harmonic(self) -> Floats:
        """The first harmonic about the annual mean in K, shape (12,)."""
        angle = 2 * np.pi * (MIDDLES - self.maximum / MONTHS)
        return np.asarray(self.climatology.mean() + self.amplitude * np.cos(angle), dtype=np.float64)

    def statistics(self) -> dict[str, float | None]:
        """Return the scalars that the diagnostic reports."""
        variance = float(self.climatology.var())
        return {
            "annual_mean": float(self.climatology.mean()),
            "annual_range": float(self.climatology.max() - self.climatology.min()),
            "first_harmonic_amplitude": self.amplitude,
            "first_harmonic_phase": self.maximum,
            "first_harmonic_variance_fraction": self.amplitude**2 / 2 / variance if variance > 0 else None,
            "years_used": self.years,
        }


def annual_cycle(monthly: Floats) -> AnnualCycle:
    """
    Compute a climatology and its first harmonic.

    The harmonic is the least squares fit of one cosine; with evenly spaced months that is the
    projection on it (Wilks 2011, Statistical Methods in the Atmospheric Sciences, section 9.4).

    Parameters
    ----------
    monthly
        Means of months in K, shape (years, 12), two years at least.
    """
    climatology = monthly.mean(axis=0)
    cosine = float((climatology * np.cos(2 * np.pi * MIDDLES)).sum()) * 2 / MONTHS
    sine = float((climatology * np.sin(2 * np.pi * MIDDLES)).sum()) * 2 / MONTHS
    return AnnualCycle(
        climatology=climatology,
        deviation=monthly.std(axis=0, ddof=1),
        amplitude=float(np.hypot(cosine, sine)),
        maximum=float(np.arctan2(sine, cosine) / (2 * np.pi) % 1) * MONTHS,
        years=len(monthly),
    )


class AnnualCycleDiagnostic(TemperatureDiagnostic):
    """Annual cycle of air temperature, from monthly or daily data."""

    slug = "annual-cycle"
    name = "Annual cycle of air temperature"
    data = requirement("Amon", "day")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compute the climatology of the years that all models of the table have."""
        subject = Subject.of(definition)
        period = SAMPLINGS[subject.dimensions["table_id"]].climatology
        record, extent = read_area_mean(subject.dataset, period)
        complete = require_years(record, _LEAST_YEARS, period)
        cycle = annual_cycle(complete.monthly_means())
        years = f"{complete.years[0]}-{complete.years[-1]}"
        write_netcdf(output_directory / DATA_FILE, _variables(cycle), {"title": self.name, "years": years})
        plots.annual_cycle(output_directory / PLOT_FILE, subject, extent, cycle, years)
        months = ("month", list(range(1, MONTHS + 1)))
        series = subject.series(self.slug, months, cycle.climatology, "K", "Climatological monthly mean")
        return ExecutionResult(
            metrics=subject.metrics(self.slug, cycle.statistics(), extent, {"years": years}),
            outputs=subject.outputs(self.name, f"{subject.place(extent)}, {years}", definition.datasets),
            series=(series,),
        )


def _variables(cycle: AnnualCycle) -> list[Variable]:
    return [
        Variable("month", "month", np.arange(1, MONTHS + 1), "1", "Month of the year"),
        Variable("climatology", "month", cycle.climatology, "K", "Climatological monthly mean", "air_temperature"),
        Variable("deviation", "month", cycle.deviation, "K", "Standard deviation among the years"),
        Variable("harmonic", "month", cycle.harmonic, "K", "First annual harmonic about the annual mean"),
    ]

"""Day-to-day variability: what is left of daily data when the annual cycle is taken out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.demo import plots
from climate_ref_prefect.diagnostics.demo.base import TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.datafile import Variable, write_netcdf
from climate_ref_prefect.diagnostics.demo.reading import SAMPLINGS, read_area_mean
from climate_ref_prefect.diagnostics.demo.record import MONTHS, Floats, Integers, Record, require_years
from climate_ref_prefect.diagnostics.demo.results import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.result import ExecutionResult

HARMONICS = 3
"""Three years give no smooth mean per day of the year; three harmonics do follow the season."""
LONGEST_LAG = 20
"""In days."""
_LEAST_YEARS = 2
_WINTER = (12, 1, 2)
_SUMMER = (6, 7, 8)


@dataclass(frozen=True, slots=True)
class Variability:
    """Daily values, their annual cycle, and what is left without it."""

    values: Floats
    """Daily means in K, shape (days,)."""
    seasonal: Floats
    """The annual cycle on each day in K, shape (days,)."""
    month: Integers
    """Calendar month of each day, shape (days,)."""

    @property
    def anomalies(self) -> Floats:
        """Values minus annual cycle in K, shape (days,)."""
        return self.values - self.seasonal

    def monthly_deviation(self) -> Floats:
        """Return the standard deviation of the anomalies of each calendar month in K, shape (12,)."""
        return np.array([self.deviation((month,)) for month in range(1, MONTHS + 1)])

    def deviation(self, months: tuple[int, ...]) -> float:
        """Return the standard deviation in K, about the annual cycle, of the days in these months."""
        chosen = self.anomalies[np.isin(self.month, months)]
        return float(np.sqrt((chosen**2).mean()))

    def statistics(self) -> dict[str, float | None]:
        """Return the scalars that the diagnostic reports."""
        anomalies = self.anomalies
        lag1 = float(autocorrelation(anomalies, 1)[1])
        return {
            "standard_deviation": float(np.sqrt((anomalies**2).mean())),
            "standard_deviation_djf": self.deviation(_WINTER),
            "standard_deviation_jja": self.deviation(_SUMMER),
            "lag1_autocorrelation": lag1,
            "decorrelation_time": (1 + lag1) / (1 - lag1),
            "percentile_05": float(np.percentile(anomalies, 5)),
            "percentile_95": float(np.percentile(anomalies, 95)),
        }


def annual_harmonics(values: Floats, phase: Floats) -> Floats:
    """
    Fit the mean and the first harmonics of the year by least squares.

    Within a complete year the days are evenly spaced, so the harmonics are orthogonal and the fit is the
    projection on each (Wilks 2011, Statistical Methods in the Atmospheric Sciences, section 9.4).

    Parameters
    ----------
    values
        Daily values of complete years, shape (days,).
    phase
        Middle of each day as a fraction of its year, shape (days,).
    """
    fitted = np.full_like(values, values.mean())
    for harmonic in range(1, HARMONICS + 1):
        angle = 2 * np.pi * harmonic * phase
        for wave in (np.cos(angle), np.sin(angle)):
            fitted += wave * (values * wave).mean() * 2
    return fitted


def autocorrelation(anomalies: Floats, longest: int) -> Floats:
    """
    Return the autocorrelation at lags from zero to `longest`, shape (longest + 1,).

    The usual estimator, with the sum of all squares below (von Storch and Zwiers 1999, section 12.1).

    Parameters
    ----------
    anomalies
        Without gaps in time and with zero mean, shape (days,).
    longest
        In days.

    Raises
    ------
    DiagnosticError
        If the anomalies do not vary.
    """
    squares = float((anomalies**2).sum())
    if squares == 0:
        raise DiagnosticError("The daily data are a smooth annual cycle without any weather.")
    size = len(anomalies)
    return np.array([float((anomalies[lag:] * anomalies[: size - lag]).sum()) / squares for lag in range(longest + 1)])


def variability(record: Record) -> Variability:
    """Take the annual cycle out of complete, consecutive years of daily data."""
    if len(record.years) != record.years[-1] - record.years[0] + 1:
        raise DiagnosticError(f"The complete years {record.years.tolist()} do not follow each other.")
    return Variability(record.values, annual_harmonics(record.values, record.phase), record.month)


class DailyVariabilityDiagnostic(TemperatureDiagnostic):
    """Variability of air temperature from day to day, from daily data."""

    slug = "daily-variability"
    name = "Day-to-day variability of air temperature"
    data = requirement("day")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Describe the anomalies of the years that all models of the table have."""
        subject = Subject.of(definition)
        period = SAMPLINGS[subject.dimensions["table_id"]].climatology
        record, extent = read_area_mean(subject.dataset, period)
        complete = require_years(record, _LEAST_YEARS, period)
        found = variability(complete)
        years = f"{complete.years[0]}-{complete.years[-1]}"
        write_netcdf(output_directory / DATA_FILE, _variables(found, years), {"title": self.name, "years": years})
        plots.daily_variability(output_directory / PLOT_FILE, subject, extent, found, complete)
        months = ("month", list(range(1, MONTHS + 1)))
        lags = ("lag_days", list(range(LONGEST_LAG + 1)))
        correlations = autocorrelation(found.anomalies, LONGEST_LAG)
        deviations = found.monthly_deviation()
        return ExecutionResult(
            metrics=subject.metrics(self.slug, found.statistics(), extent, {"years": years}),
            outputs=subject.outputs(self.name, f"{subject.place(extent)}, {years}", definition.datasets),
            series=(
                subject.series(self.slug, months, deviations, "K", "Standard deviation of the daily anomalies"),
                subject.series(self.slug, lags, correlations, "1", "Autocorrelation of the daily anomalies"),
            ),
        )


def _variables(found: Variability, years: str) -> list[Variable]:
    days, lags, months = len(found.values), np.arange(LONGEST_LAG + 1), np.arange(1, MONTHS + 1)
    correlations = autocorrelation(found.anomalies, LONGEST_LAG)
    return [
        Variable("day", "day", np.arange(days), "1", f"Day since the start of {years}, in the calendar of the model"),
        Variable("daily_mean", "day", found.values, "K", "Daily mean", "air_temperature"),
        Variable("seasonal_cycle", "day", found.seasonal, "K", f"First {HARMONICS} annual harmonics"),
        Variable("lag", "lag", lags, "day", "Lag"),
        Variable("autocorrelation", "lag", correlations, "1", "Autocorrelation of the daily anomalies"),
        Variable("month", "month", months, "1", "Month of the year"),
        Variable("deviation", "month", found.monthly_deviation(), "K", "Standard deviation of the daily anomalies"),
    ]

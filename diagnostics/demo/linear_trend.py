"""The linear trend of annual means, with a significance that knows of autocorrelation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtr, stdtrit

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.demo import plots
from climate_ref_prefect.diagnostics.demo.base import TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.datafile import Variable, write_netcdf
from climate_ref_prefect.diagnostics.demo.reading import read_area_mean
from climate_ref_prefect.diagnostics.demo.record import Floats, Integers, Years, require_years
from climate_ref_prefect.diagnostics.demo.results import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.result import ExecutionResult

PERIOD = Years(1950, 2014)
"""Years that every monthly record of the sample data has."""
LEAST_YEARS = 10
_CONFIDENCE = 0.95
_DECADE = 10
_FITTED = 2
"""Parameters of a straight line, which the residuals have lost as degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Trend:
    """
    A straight line through annual means; everything per decade.

    What cannot be estimated is none: the line of a record that is too short, or the error of one
    whose residuals are so autocorrelated that hardly an independent year is left.
    """

    slope: float | None
    centre: float
    """Mean of the annual means in K, the height of the line at the mean year."""
    error: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    autocorrelation: float | None = None
    effective: float | None = None
    years: int = 0

    def statistics(self) -> dict[str, float | None]:
        """Return the scalars that the diagnostic reports."""
        return {
            "trend": self.slope,
            "trend_standard_error": self.error,
            "trend_lower": self.lower,
            "trend_upper": self.upper,
            "p_value": self.p_value,
            "lag1_autocorrelation": self.autocorrelation,
            "effective_sample_size": self.effective,
            "years_used": self.years,
        }

    def line(self, years: Integers) -> Floats | None:
        """Return the height of the line in K at each year."""
        if self.slope is None:
            return None
        return np.asarray(self.centre + self.slope * (years - years.mean()) / _DECADE, dtype=np.float64)


def linear_trend(years: Integers, means: Floats) -> Trend:
    """
    Fit a line by least squares; its error counts only as many years as are independent.

    Santer et al. (2000), doi:10.1029/1999JD901105, equations 3 to 6: the effective sample size
    n (1 - r) / (1 + r), with r the lag-1 autocorrelation of the residuals, takes the place of n.
    Other than there, it is never taken to be more than n.

    Parameters
    ----------
    years
        Ascending, shape (years,).
    means
        Annual means in K, shape (years,).
    """
    count, centre = len(years), float(means.mean())
    if count < LEAST_YEARS:
        return Trend(slope=None, centre=centre, years=count)
    decades = (years - years.mean()) / _DECADE
    spread = float((decades**2).sum())
    slope = float((decades * (means - centre)).sum()) / spread
    residuals = means - centre - slope * decades
    squares = float((residuals**2).sum())
    if squares == 0:
        return Trend(slope=slope, centre=centre, years=count)
    autocorrelation = float((residuals[1:] * residuals[:-1]).sum()) / squares
    effective = min(count * (1 - autocorrelation) / (1 + autocorrelation), float(count))
    fitted = Trend(slope, centre, autocorrelation=autocorrelation, effective=effective, years=count)
    return _with_error(fitted, slope, squares / spread)


def _with_error(trend: Trend, slope: float, variance: float) -> Trend:
    freedom = (trend.effective or 0) - _FITTED
    if freedom <= 0:
        return trend
    error = float(np.sqrt(variance / freedom))
    margin = error * float(stdtrit(freedom, (1 + _CONFIDENCE) / 2))
    return Trend(
        slope=slope,
        centre=trend.centre,
        error=error,
        lower=slope - margin,
        upper=slope + margin,
        p_value=float(2 * stdtr(freedom, -abs(slope / error))),
        autocorrelation=trend.autocorrelation,
        effective=trend.effective,
        years=trend.years,
    )


class LinearTrendDiagnostic(TemperatureDiagnostic):
    """Linear trend of annual mean air temperature, from monthly data."""

    slug = "linear-trend"
    name = "Linear trend of air temperature"
    data = requirement("Amon")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Fit a trend to the years that all models have; where there are too few, say so and leave it null."""
        subject = Subject.of(definition)
        record, extent = read_area_mean(subject.dataset, PERIOD)
        complete = require_years(record, 1, PERIOD)
        years, means = complete.years, complete.annual_means()
        trend = linear_trend(years, means)
        title = {"title": self.name, "years": f"{years[0]}-{years[-1]}"}
        write_netcdf(output_directory / DATA_FILE, _variables(years, means, trend), title)
        plots.linear_trend(output_directory / PLOT_FILE, subject, extent, (years, means, trend))
        series = subject.series(self.slug, ("year", years.tolist()), means, "K", "Annual mean")
        notes = {"years": title["years"], **_reason(trend)}
        return ExecutionResult(
            metrics=subject.metrics(self.slug, trend.statistics(), extent, notes),
            outputs=subject.outputs(self.name, f"{subject.place(extent)}, {title['years']}", definition.datasets),
            series=(series,),
        )


def _reason(trend: Trend) -> dict[str, str]:
    if trend.slope is None:
        return {"no_trend": f"{trend.years} complete years; a trend needs at least {LEAST_YEARS}"}
    if trend.error is None:
        return {"no_error": "the residuals leave no independent years to estimate an error from"}
    return {}


def _variables(years: Integers, means: Floats, trend: Trend) -> list[Variable]:
    variables = [
        Variable("year", "year", years, "1", "Calendar year"),
        Variable("annual_mean", "year", means, "K", "Annual mean", "air_temperature"),
    ]
    line = trend.line(years)
    if line is not None:
        variables.append(Variable("trend_line", "year", line, "K", "Linear trend"))
    return variables

"""The diagnostic of the linear trend of annual means, with a significance that allows for autocorrelation."""

from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.demo.build_bundles import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import Interval, with_intervals
from climate_ref_prefect.diagnostics.demo.calculations.linear_trend import (
    LEAST_YEARS,
    RESAMPLED,
    Trend,
    TrendUncertainty,
    linear_trend,
)
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats, Integers, Years, require_years
from climate_ref_prefect.diagnostics.demo.plots import linear_trend as plots
from climate_ref_prefect.diagnostics.demo.read_temperature import read_area_mean
from climate_ref_prefect.diagnostics.demo.temperature_diagnostic import Reading, TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.write_netcdf import Variable, write_netcdf
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series

PERIOD = Years(1950, 2014)
"""Years that every monthly record of the sample data has."""
CONFIDENCE_FILE = "residuals.png"


class LinearTrendDiagnostic(TemperatureDiagnostic):
    """Linear trend of annual mean air temperature, from monthly data."""

    slug = "linear-trend"
    name = "Linear trend of air temperature"
    version = "2"
    data = requirement("Amon")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Fit a trend to the years that all models have; where there are too few, say so and leave it null."""
        record, extent = read_area_mean(definition.datasets[0], PERIOD)
        complete = require_years(record, 1, PERIOD)
        return self.describe(Reading.of(definition, complete, extent), output_directory)

    def describe(self, reading: Reading, output_directory: Path) -> ExecutionResult:
        """Compute and draw the trend of what was read."""
        years, means = reading.record.years, reading.record.annual_means()
        trend = linear_trend(years, means)
        found = TrendUncertainty.of(years, means, trend, reading.bootstrap)
        attributes = {"title": self.name, "years": reading.years}
        write_netcdf(output_directory / DATA_FILE, _variables(years, means, trend, found), attributes)
        title = reading.title(f"linear trend {reading.years}")
        plots.draw(output_directory / PLOT_FILE, title, (years, means, trend), found)
        if found:
            title = reading.title(f"confidence in the trend {reading.years}")
            plots.draw_confidence(output_directory / CONFIDENCE_FILE, title, trend, found)
        return self.result(
            reading,
            _statistics(trend, found),
            _series(reading.subject, self.slug, (years, means, trend), found),
            notes=_reason(trend, found),
            second_plot=(CONFIDENCE_FILE, "confidence") if found else None,
        )


def _statistics(trend: Trend, found: TrendUncertainty | None) -> dict[str, float | None]:
    intervals = found.statistics if found else dict.fromkeys(RESAMPLED, Interval.unknown())
    return with_intervals(trend.statistics(), intervals)


def _reason(trend: Trend, found: TrendUncertainty | None) -> dict[str, str]:
    if trend.slope is None:
        return {"no_trend": f"{trend.years} complete years; a trend needs at least {LEAST_YEARS}"}
    if trend.error is None:
        return {"no_error": "the residuals leave no independent years to estimate an error from"}
    return {} if found else {"no_interval": "a bootstrap needs complete years that follow each other"}


def _variables(years: Integers, means: Floats, trend: Trend, found: TrendUncertainty | None) -> list[Variable]:
    variables = [
        Variable("year", "year", years, "1", "Calendar year"),
        Variable("annual_mean", "year", means, "K", "Annual mean", "air_temperature"),
    ]
    line = trend.line(years)
    if line is not None:
        height = Variable("trend_line", "year", line, "K", "Linear trend")
        variables += height.with_interval(found.line) if found else [height]
    if found:
        lags = np.arange(len(found.correlations))
        variables += [
            Variable("lag", "lag", lags, "year", "Lag"),
            Variable("autocorrelation", "lag", found.correlations, "1", "Autocorrelation of the residuals"),
        ]
    return variables


def _series(
    subject: Subject, metric: str, fit: tuple[Integers, Floats, Trend], found: TrendUncertainty | None
) -> tuple[Series, ...]:
    years, means, trend = fit
    index, line = ("year", years.tolist()), trend.line(years)
    series = subject.series(metric, "yearly_mean", index, means)
    if line is not None:
        series += subject.series(metric, "trend_line", index, line, found.line if found else None)
    return series

"""The diagnostic of day-to-day variability: what is left of daily data when the annual cycle is taken out."""

from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.demo.build_bundles import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.demo.calculations.anomalies import HARMONICS, Anomalies
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import with_intervals
from climate_ref_prefect.diagnostics.demo.calculations.daily_variability import (
    LONGEST_LAG,
    PROBABILITIES,
    Variability,
    VariabilityUncertainty,
)
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, require_years
from climate_ref_prefect.diagnostics.demo.plots import daily_variability as plots
from climate_ref_prefect.diagnostics.demo.read_temperature import SAMPLINGS, read_area_mean
from climate_ref_prefect.diagnostics.demo.temperature_diagnostic import Reading, TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.write_netcdf import Variable, write_netcdf
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series

QUANTILES_FILE = "quantiles.png"
_LEAST_YEARS = 2


class DailyVariabilityDiagnostic(TemperatureDiagnostic):
    """Variability of air temperature from day to day, from daily data."""

    slug = "daily-variability"
    name = "Day-to-day variability of air temperature"
    version = "2"
    data = requirement("day")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Describe the anomalies of the years that all models of the table have."""
        dataset = definition.datasets[0]
        period = SAMPLINGS[dataset.facets["table_id"]].climatology
        record, extent = read_area_mean(dataset, period)
        complete = require_years(record, _LEAST_YEARS, period)
        return self.describe(Reading.of(definition, complete, extent), output_directory)

    def describe(self, reading: Reading, output_directory: Path) -> ExecutionResult:
        """Compute and draw the variability of what was read."""
        anomalies = Anomalies.of(reading.record)
        variability = Variability.of(anomalies)
        found = VariabilityUncertainty.of(variability, anomalies, reading.bootstrap)
        attributes = {"title": self.name, "years": reading.years}
        write_netcdf(output_directory / DATA_FILE, _variables(anomalies, variability, found, reading.years), attributes)
        title = reading.title("variability from day to day")
        plots.draw(output_directory / PLOT_FILE, title, reading.record, (anomalies, variability, found))
        title = reading.title("memory and extremes of daily anomalies")
        plots.draw_quantiles(output_directory / QUANTILES_FILE, title, variability, found)
        return self.result(
            reading,
            with_intervals(variability.statistics(), found.statistics),
            _series(reading.subject, self.slug, variability, found),
            notes={},
            second_plot=(QUANTILES_FILE, "memory and extremes"),
        )


def _series(
    subject: Subject, metric: str, variability: Variability, found: VariabilityUncertainty
) -> tuple[Series, ...]:
    months, lags = ("month", list(range(1, MONTHS + 1))), ("lag_days", list(range(LONGEST_LAG + 1)))
    deviation, correlations = variability.spread.monthly_deviation(), variability.correlations
    return (
        *subject.series(metric, "standard_deviation", months, deviation, found.monthly_deviation),
        *subject.series(metric, "autocorrelation", lags, correlations, found.correlations),
    )


def _variables(
    anomalies: Anomalies, variability: Variability, found: VariabilityUncertainty, years: str
) -> list[Variable]:
    spread, days = variability.spread, np.arange(len(anomalies.values))
    correlation = Variable(
        "autocorrelation", "lag", variability.correlations, "1", "Autocorrelation of the daily anomalies"
    )
    deviation = Variable(
        "deviation", "month", spread.monthly_deviation(), "K", "Standard deviation of the daily anomalies"
    )
    quantile = Variable("quantile", "probability", spread.quantiles, "K", "Quantile of the daily anomalies")
    return [
        Variable("day", "day", days, "1", f"Day since the start of {years}, in the calendar of the model"),
        Variable("daily_mean", "day", anomalies.values, "K", "Daily mean", "air_temperature"),
        Variable("seasonal_cycle", "day", anomalies.seasonal, "K", f"First {HARMONICS} annual harmonics"),
        Variable("lag", "lag", np.arange(LONGEST_LAG + 1), "day", "Lag"),
        *correlation.with_interval(found.correlations),
        Variable("month", "month", np.arange(1, MONTHS + 1), "1", "Month of the year"),
        *deviation.with_interval(found.monthly_deviation),
        Variable("probability", "probability", PROBABILITIES, "1", "Probability of a smaller value"),
        *quantile.with_interval(found.quantiles),
    ]

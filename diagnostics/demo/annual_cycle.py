"""The diagnostic of the annual cycle: climatology, range, and amplitude and time of its first harmonic."""

from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.demo.build_bundles import DATA_FILE, PLOT_FILE
from climate_ref_prefect.diagnostics.demo.calculations.annual_cycle import (
    LEAST_YEARS_TO_RESAMPLE,
    AnnualCycle,
    CycleUncertainty,
)
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import with_intervals
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Integers, require_years
from climate_ref_prefect.diagnostics.demo.plots import annual_cycle as plots
from climate_ref_prefect.diagnostics.demo.read_temperature import SAMPLINGS, read_area_mean
from climate_ref_prefect.diagnostics.demo.temperature_diagnostic import Reading, TemperatureDiagnostic, requirement
from climate_ref_prefect.diagnostics.demo.write_netcdf import Variable, write_netcdf
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult

LEAST_YEARS = 2
YEARS_FILE = "years.png"
NO_INTERVAL = f"a bootstrap of monthly data needs {LEAST_YEARS_TO_RESAMPLE} complete years that follow each other"


class AnnualCycleDiagnostic(TemperatureDiagnostic):
    """Annual cycle of air temperature, from monthly or daily data."""

    slug = "annual-cycle"
    name = "Annual cycle of air temperature"
    version = "2"
    data = requirement("Amon", "day")

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compute the climatology of the years that all models of the table have."""
        dataset = definition.datasets[0]
        period = SAMPLINGS[dataset.facets["table_id"]].climatology
        record, extent = read_area_mean(dataset, period)
        complete = require_years(record, LEAST_YEARS, period)
        return self.describe(Reading.of(definition, complete, extent), output_directory)

    def describe(self, reading: Reading, output_directory: Path) -> ExecutionResult:
        """Compute and draw the annual cycle of what was read."""
        record = reading.record
        cycle = AnnualCycle(record.monthly_means())
        found = CycleUncertainty.of(cycle, record, reading.bootstrap)
        attributes = {"title": self.name, "years": reading.years}
        write_netcdf(output_directory / DATA_FILE, _variables(cycle, found, record.years), attributes)
        plots.draw(output_directory / PLOT_FILE, reading.title(f"annual cycle {reading.years}"), cycle, found)
        title = reading.title(f"the years {reading.years}")
        plots.draw_years(output_directory / YEARS_FILE, title, cycle, record.years)
        months, climatology = ("month", list(range(1, MONTHS + 1))), cycle.climatology
        return self.result(
            reading,
            with_intervals(cycle.statistics(), found.statistics),
            reading.subject.series(self.slug, "climatology", months, climatology, found.climatology),
            notes={} if np.isfinite(found.climatology.lower).all() else {"no_interval": NO_INTERVAL},
            second_plot=(YEARS_FILE, "single years"),
        )


def _variables(cycle: AnnualCycle, found: CycleUncertainty, years: Integers) -> list[Variable]:
    climatology = Variable(
        "climatology", "month", cycle.climatology, "K", "Climatological monthly mean", "air_temperature"
    )
    deviation = Variable("deviation", "month", cycle.deviation, "K", "Standard deviation among the years")
    return [
        Variable("month", "month", np.arange(1, MONTHS + 1), "1", "Month of the year"),
        Variable("year", "year", years, "1", "Calendar year"),
        *climatology.with_interval(found.climatology),
        *deviation.with_interval(found.deviation),
        Variable("harmonic", "month", cycle.harmonic, "K", "First annual harmonic about the annual mean"),
        Variable("monthly_mean", "year month", cycle.monthly, "K", "Mean of each month", "air_temperature"),
    ]

"""The annual cycle: climatology of the twelve months, its range and its first harmonic."""

from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.demo import plots, results
from climate_ref_prefect.diagnostics.demo.months import (
    MONTHS,
    Climatology,
    climatology,
    first_harmonic,
    mean_of_months,
    monthly_means,
)
from climate_ref_prefect.diagnostics.demo.reading import read_area_means
from climate_ref_prefect.diagnostics.demo.results import LevelResult
from climate_ref_prefect.diagnostics.demo.setting import NORMAL, SMALL, period
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.requirement import DataRequirement
from climate_ref_prefect.diagnostics.result import ExecutionResult, Series

_SERIES = ("climatological_mean", "interannual_standard_deviation")


class AnnualCycle(Diagnostic):
    """Climatology 1981-2010, as far as the record has these years, of monthly and of daily data."""

    slug = "annual-cycle"
    name = "Annual cycle of air temperature"
    data = DataRequirement(
        filters={"variable_id": ("ta",), "table_id": ("Amon", "day"), "experiment_id": ("historical",)},
        group_by=results.FACETS,
    )
    resources = SMALL

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compute the climatology of one data set."""
        dataset = results.own_dataset(definition)
        means = read_area_means(dataset, NORMAL)
        cycle = climatology(monthly_means(means))
        levels = {level: annual_cycle_statistics(cycle, at) for at, level in enumerate(means.levels)}
        title = f"{self.name} {period(NORMAL)}: {results.title(dataset)}"
        arrays = dict(zip(_SERIES, (cycle.mean, cycle.spread), strict=True))
        results.write_data(output_directory, title, dataset, means.levels, "month", range(1, MONTHS + 1), arrays)
        plots.annual_cycle(output_directory / results.PLOT_FILE, title, means.levels, cycle)
        return ExecutionResult(
            metrics=results.metric_bundle(dataset, levels, period(NORMAL)),
            outputs=results.output_bundle(
                dataset, title, "Mean of each month; shaded, one standard deviation over the years."
            ),
            series=tuple(self._series(definition, means.levels, cycle)),
        )

    def _series(self, definition: ExecutionDefinition, levels: tuple[str, ...], cycle: Climatology) -> list[Series]:
        raise NotImplementedError


def annual_cycle_statistics(cycle: Climatology, level: int) -> LevelResult:
    """
    Return the statistics of one level, in K unless named otherwise.

    They are null, with the reason, where some month is missing in every year: the extremes of an
    annual cycle with holes are not those of the annual cycle.
    """
    months, years = cycle.mean[:, level], int(cycle.count[:, level].min())
    if years == 0:
        lacking = ", ".join(str(month + 1) for month in range(MONTHS) if cycle.count[month, level] == 0)
        nothing = dict.fromkeys(_OF_TWELVE_MONTHS)
        return LevelResult({**nothing, "years_used": 0}, f"months {lacking} are incomplete in every year")

"""The diagnostic of one model against the mean of all others: bias and the agreement of the annual cycles."""

import logging
from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.demo.annual_cycle import LEAST_YEARS, NO_INTERVAL
from climate_ref_prefect.diagnostics.demo.build_bundles import DATA_FILE, PLOT_FILE
from climate_ref_prefect.diagnostics.demo.calculations.annual_cycle import resampled_climatologies
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import with_intervals
from climate_ref_prefect.diagnostics.demo.calculations.ensemble_bias import (
    Comparison,
    ComparisonUncertainty,
    one_row_per_model,
)
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Record, require_years
from climate_ref_prefect.diagnostics.demo.plots import ensemble_bias as plots
from climate_ref_prefect.diagnostics.demo.read_temperature import SAMPLINGS, Extent, read_area_mean
from climate_ref_prefect.diagnostics.demo.temperature_diagnostic import (
    Reading,
    TemperatureDiagnostic,
    ensemble_requirement,
)
from climate_ref_prefect.diagnostics.demo.write_netcdf import Variable, write_netcdf
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

LEAST_OTHERS = 3
TAYLOR_FILE = "taylor.png"
_FILES_PER_MB = 4
"""How many files may be opened for one more MiB: HDF5 keeps a little of each."""

logger = logging.getLogger(__name__)


class EnsembleBiasDiagnostic(TemperatureDiagnostic):
    """Bias of a model against the mean of all others, from monthly data."""

    slug = "ensemble-bias"
    name = "Air temperature against the multi-model mean"
    version = "2"
    data = ensemble_requirement("Amon", at_least=LEAST_OTHERS + 1)

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        """Ask for more memory the more files are opened."""
        files = sum(len(dataset.files) for dataset in definition.datasets)
        return self.resources.model_copy(update={"memory_mb": self.resources.memory_mb + files // _FILES_PER_MB})

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compare the climatologies of the years that all models have."""
        record, extent = _read(definition.datasets[0])
        others, left_out = _others(definition)
        return self.describe(Reading.of(definition, record, extent), others, left_out, output_directory)

    def describe(
        self, reading: Reading, others: Floats, left_out: list[str], output_directory: Path
    ) -> ExecutionResult:
        """Compute and draw how what was read compares with the annual cycles of the others, shape (models, 12)."""
        comparison = Comparison(reading.record.monthly_means().mean(axis=0), others)
        resampled = resampled_climatologies(reading.record, reading.bootstrap)
        found = ComparisonUncertainty.of(comparison, resampled, reading.bootstrap)
        attributes = {"title": self.name, "years": reading.years}
        write_netcdf(output_directory / DATA_FILE, _variables(comparison, found), attributes)
        name = reading.subject.dimensions["source_id"]
        title = reading.title(f"against the other models {reading.years}")
        plots.draw(output_directory / PLOT_FILE, title, comparison, found, name)
        title = reading.title(f"annual cycle against the other models {reading.years}")
        plots.draw_taylor(output_directory / TAYLOR_FILE, title, comparison, found, name)
        months = ("month", list(range(1, MONTHS + 1)))
        unknown = {"no_interval": NO_INTERVAL} if resampled is None else {}
        return self.result(
            reading.without(left_out),
            with_intervals(comparison.statistics(), found.statistics),
            reading.subject.series(self.slug, "bias", months, comparison.bias, found.bias),
            notes={"left_out": [*left_out], **unknown},
            second_plot=(TAYLOR_FILE, "Taylor diagram"),
        )


def _read(dataset: Dataset) -> tuple[Record, Extent]:
    period = SAMPLINGS[dataset.facets["table_id"]].climatology
    record, extent = read_area_mean(dataset, period)
    return require_years(record, LEAST_YEARS, period), extent


def _others(definition: ExecutionDefinition) -> tuple[Floats, list[str]]:
    """Return the annual cycles of the other models, and which data sets are not among them."""
    source = definition.datasets[0].facets["source_id"]
    climatologies: list[tuple[str, Floats]] = []
    left_out: list[str] = []
    for dataset in definition.datasets[1:]:
        model = dataset.facets["source_id"]
        try:
            if model == source:
                left_out.append(dataset.instance_id)
            else:
                climatologies.append((model, _read(dataset)[0].monthly_means().mean(axis=0)))
        except DiagnosticError as error:
            # One broken file must not take every model's comparison along; the bundle names what is missing.
            logger.warning("Left out of the multi-model mean: %s", error)
            left_out.append(dataset.instance_id)
    others = one_row_per_model(climatologies)
    if len(others) < LEAST_OTHERS:
        raise DiagnosticError(f"{len(others)} other models can be read; at least {LEAST_OTHERS} are needed.")
    return others, left_out


def _variables(comparison: Comparison, found: ComparisonUncertainty) -> list[Variable]:
    climatology = "Monthly climatology of the model"
    bias = Variable("bias", "month", comparison.bias, "K", "Model minus mean of the other models")
    return [
        Variable("month", "month", np.arange(1, MONTHS + 1), "1", "Month of the year"),
        Variable("climatology", "month", comparison.model, "K", climatology, "air_temperature"),
        Variable("reference", "month", comparison.reference, "K", "Mean of the other models", "air_temperature"),
        Variable("spread", "month", comparison.spread, "K", "Standard deviation among the other models"),
        *bias.with_interval(found.bias),
    ]

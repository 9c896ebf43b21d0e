"""One model against the mean of all others: bias and the agreement of the annual cycles."""

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from climate_ref_prefect.diagnostics.definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.demo import plots
from climate_ref_prefect.diagnostics.demo.annual_cycle import annual_cycle
from climate_ref_prefect.diagnostics.demo.base import TemperatureDiagnostic, ensemble_requirement
from climate_ref_prefect.diagnostics.demo.datafile import Variable, write_netcdf
from climate_ref_prefect.diagnostics.demo.reading import SAMPLINGS, Extent, read_area_mean
from climate_ref_prefect.diagnostics.demo.record import MONTHS, Floats, require_years
from climate_ref_prefect.diagnostics.demo.results import DATA_FILE, PLOT_FILE, Subject
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.diagnostics.result import ExecutionResult

LEAST_OTHERS = 3
_LEAST_YEARS = 2
_FILES_PER_MB = 4
"""How many files may be opened for one more MiB: HDF5 keeps a little of each."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The annual cycle of a model, and those of the other models."""

    model: Floats
    """In K, shape (12,)."""
    others: Floats
    """In K, one row per model, shape (models, 12)."""

    @property
    def reference(self) -> Floats:
        """Mean of the other models in K, shape (12,)."""
        return np.asarray(self.others.mean(axis=0), dtype=np.float64)

    @property
    def spread(self) -> Floats:
        """Standard deviation among the other models in K, shape (12,)."""
        return np.asarray(self.others.std(axis=0, ddof=1), dtype=np.float64)

    def statistics(self) -> dict[str, float | None]:
        """
        Return the scalars that the diagnostic reports.

        Centred difference, correlation and ratio of standard deviations are those that make a Taylor
        diagram: Taylor (2001), doi:10.1029/2000JD900719, equations 1 and 2, over the twelve months.
        """
        reference = self.reference
        ours, theirs = self.model - self.model.mean(), reference - reference.mean()
        deviation, expected = float(ours.std()), float(theirs.std())
        bias = float(self.model.mean() - reference.mean())
        among = float(self.others.mean(axis=1).std(ddof=1))
        product = float((ours * theirs).mean())
        return {
            "bias": bias,
            "bias_standardised": bias / among if among > 0 else None,
            "centred_rmse": float(np.sqrt(((ours - theirs) ** 2).mean())),
            "correlation": product / (deviation * expected) if deviation > 0 and expected > 0 else None,
            "standard_deviation_ratio": deviation / expected if expected > 0 else None,
            "reference_models": len(self.others),
        }


def one_row_per_model(climatologies: list[tuple[str, Floats]]) -> Floats:
    """
    Average what belongs to the same model, so that each counts once, in the order of their names.

    Parameters
    ----------
    climatologies
        Name of the model and its annual cycle in K, shape (12,).

    Returns
    -------
    In K, shape (models, 12).
    """
    by_model: defaultdict[str, list[Floats]] = defaultdict(list)
    for model, climatology in climatologies:
        by_model[model].append(climatology)
    rows = [np.mean(by_model[model], axis=0) for model in sorted(by_model)]
    return np.array(rows, dtype=np.float64)


class EnsembleBiasDiagnostic(TemperatureDiagnostic):
    """Bias of a model against the mean of all others, from monthly data."""

    slug = "ensemble-bias"
    name = "Air temperature against the multi-model mean"
    data = ensemble_requirement("Amon", at_least=LEAST_OTHERS + 1)

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        """Ask for more memory the more files are opened."""
        files = sum(len(dataset.files) for dataset in definition.datasets)
        return self.resources.model_copy(update={"memory_mb": self.resources.memory_mb + files // _FILES_PER_MB})

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compare the climatologies of the years that all models have."""
        subject = Subject.of(definition)
        model, extent = _climatology(subject.dataset)
        others, left_out = _others(definition)
        comparison = Comparison(model, others)
        years = str(SAMPLINGS[subject.dimensions["table_id"]].climatology)
        write_netcdf(output_directory / DATA_FILE, _variables(comparison), {"title": self.name, "years": years})
        plots.ensemble_bias(output_directory / PLOT_FILE, subject, extent, comparison, years)
        months = ("month", list(range(1, MONTHS + 1)))
        bias = subject.series(self.slug, months, model - comparison.reference, "K", "Bias of the monthly climatology")
        notes: dict[str, JsonValue] = {"years": years, "left_out": [*left_out]}
        used = tuple(dataset for dataset in definition.datasets if dataset.instance_id not in left_out)
        return ExecutionResult(
            metrics=subject.metrics(self.slug, comparison.statistics(), extent, notes),
            outputs=subject.outputs(self.name, f"{subject.place(extent)}, {years}", used),
            series=(bias,),
        )


def _climatology(dataset: Dataset) -> tuple[Floats, Extent]:
    period = SAMPLINGS[dataset.facets["table_id"]].climatology
    record, extent = read_area_mean(dataset, period)
    return annual_cycle(require_years(record, _LEAST_YEARS, period).monthly_means()).climatology, extent


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
                climatologies.append((model, _climatology(dataset)[0]))
        except DiagnosticError as error:
            # One broken file must not take every model's comparison along; the bundle names what is missing.
            logger.warning("Left out of the multi-model mean: %s", error)
            left_out.append(dataset.instance_id)
    others = one_row_per_model(climatologies)
    if len(others) < LEAST_OTHERS:
        raise DiagnosticError(f"{len(others)} other models can be read; at least {LEAST_OTHERS} are needed.")
    return others, left_out


def _variables(comparison: Comparison) -> list[Variable]:
    reference = comparison.reference
    return [
        Variable("month", "month", np.arange(1, MONTHS + 1), "1", "Month of the year"),
        Variable("climatology", "month", comparison.model, "K", "Monthly climatology of the model", "air_temperature"),
        Variable("reference", "month", reference, "K", "Mean of the other models", "air_temperature"),
        Variable("spread", "month", comparison.spread, "K", "Standard deviation among the other models"),
        Variable("bias", "month", comparison.model - reference, "K", "Model minus mean of the other models"),
    ]

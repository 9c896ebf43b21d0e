"""What the diagnostics of the demo have in common: their data and their size."""

from abc import ABC
from datetime import timedelta

from climate_ref_prefect.diagnostics.demo.reading import VARIABLE
from climate_ref_prefect.diagnostics.demo.results import GROUP_BY
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.requirement import DataRequirement
from climate_ref_prefect.diagnostics.resources import ResourceHint

MEMORY_MB = 512
"""Python with numpy, netCDF4, scipy.special and matplotlib takes about 150 MiB; the sample data next to nothing."""


def requirement(*tables: str) -> DataRequirement:
    """Want the air temperature of these tables, one execution per data set."""
    return DataRequirement(filters=_filters(*tables), group_by=GROUP_BY)


def ensemble_requirement(table: str, at_least: int) -> DataRequirement:
    """Want the air temperature of a table, each execution with all other data sets of the same experiment."""
    return DataRequirement(
        filters=_filters(table),
        group_by=GROUP_BY,
        at_least=at_least,
        with_ensemble=True,
        ensemble_by=("experiment_id", "table_id", "variable_id"),
    )


def _filters(*tables: str) -> dict[str, tuple[str, ...]]:
    return {"variable_id": (VARIABLE,), "table_id": tables, "experiment_id": ("historical",)}


class TemperatureDiagnostic(Diagnostic, ABC):
    """A small diagnostic of air temperature."""

    resources = ResourceHint(memory_mb=MEMORY_MB, cpu=1, wall_clock=timedelta(minutes=10))

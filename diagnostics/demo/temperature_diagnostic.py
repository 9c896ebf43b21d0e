"""The base class of the demo's diagnostics, with their data requirements, resources and input."""

from abc import ABC
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from pydantic import JsonValue

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.demo.build_bundles import GROUP_BY, Subject
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Record
from climate_ref_prefect.diagnostics.demo.read_temperature import VARIABLE, Extent
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

MEMORY_MB = 512
"""Python with numpy, netCDF4, scipy.special and matplotlib takes 120 MiB; resamples, plots and data up to 40 more."""


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


@dataclass(frozen=True, slots=True)
class Reading:
    """What an execution has read of its own data set, and the random numbers that it draws."""

    definition: ExecutionDefinition
    record: Record
    """Complete years."""
    extent: Extent
    bootstrap: Bootstrap

    @classmethod
    def of(cls, definition: ExecutionDefinition, record: Record, extent: Extent) -> Self:
        """Join them with the random numbers of the execution."""
        return cls(definition, record, extent, Bootstrap.of(definition))

    def without(self, names: Collection[str]) -> Self:
        """Return the same without the data sets of these names, which turned out not to count."""
        counting = tuple(dataset for dataset in self.definition.datasets if dataset.instance_id not in names)
        return replace(self, definition=self.definition.model_copy(update={"datasets": counting}))

    @property
    def subject(self) -> Subject:
        """The data set."""
        return Subject.of(self.definition)

    @property
    def years(self) -> str:
        """First and last year, as a text."""
        return f"{self.record.years[0]}-{self.record.years[-1]}"

    def title(self, content: str) -> str:
        """Return the title of a plot of this content, in two lines."""
        return f"{self.subject.title}: {content}\n{self.subject.place(self.extent)}"


class TemperatureDiagnostic(Diagnostic, ABC):
    """A small diagnostic of air temperature."""

    resources = ResourceHint(memory_mb=MEMORY_MB, cpu=1, wall_clock=timedelta(minutes=10))

    def result(
        self,
        reading: Reading,
        values: Mapping[str, float | None],
        series: tuple[Series, ...],
        *,
        notes: Mapping[str, JsonValue],
        second_plot: tuple[str, str] | None,
    ) -> ExecutionResult:
        """
        Return what an execution has found.

        Parameters
        ----------
        reading
            What it has read, with all data sets that count.
        values, series
            Statistics by name, and those along an index.
        notes
            What has to be said beside the years.
        second_plot
            The file name of the second plot and what it shows, where there is one.
        """
        subject = reading.subject
        description = f"{subject.place(reading.extent)}, {reading.years}"
        return ExecutionResult(
            metrics=subject.metrics(self.slug, values, reading.extent, {"years": reading.years, **notes}),
            outputs=subject.outputs(self.name, description, reading.definition.datasets, second_plot),
            series=series,
        )

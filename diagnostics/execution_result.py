"""The result that a diagnostic returns, as pure data. Building one reads and writes no files."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from climate_ref_prefect.diagnostics.base_models import Document, FrozenModel
from climate_ref_prefect.diagnostics.metric_bundle import Attributes, MetricBundle
from climate_ref_prefect.diagnostics.number_conversion import AcceptNumpyNumbers
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle

METRIC_BUNDLE = "metric.json"
OUTPUT_BUNDLE = "output.json"
SERIES = "series.json"
"""File names, below the output directory, that the worker writes a result to."""


class Series(FrozenModel):
    """Values along one index, for example twelve months or some years."""

    dimensions: Mapping[str, str] = Field(min_length=1)
    """The dimensions of the series, checked against the vocabulary."""

    index_name: str
    """Name of the index, for example `month` or `year`."""

    index: Annotated[tuple[float | int | str, ...], AcceptNumpyNumbers] = Field(min_length=1)
    values: Annotated[tuple[float | None, ...], AcceptNumpyNumbers]
    """One value per index; null for a missing value."""

    attributes: Attributes = Field(default_factory=dict)
    """For example `{"units": "K"}`."""

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.values) != len(self.index):
            raise ValueError(f"{len(self.values)} values for an index of {len(self.index)}")
        return self


class SeriesCollection(Document):
    """All series of one execution, as kept in `series.json`."""

    series: tuple[Series, ...] = ()


class ResultFiles(Document):
    """
    A result in a format of the provider's own, of which only the files are known here.

    It is described, checked and published like any other, by a recorder that understands the format; the store of this
    package does not.
    """

    files: tuple[str, ...]
    """Each file that belongs to it, relative to the output directory, with `/`."""


class ExecutionResult(FrozenModel):
    """Metrics, outputs and series of one execution."""

    metrics: MetricBundle
    outputs: OutputBundle = Field(default_factory=OutputBundle)
    series: tuple[Series, ...] = ()

    @model_validator(mode="after")
    def _series_are_distinct(self) -> Self:
        # Series are recorded under their dimensions and index name, so of two equal ones one would be lost.
        seen = set()
        for one in self.series:
            name = (one.index_name, frozenset(one.dimensions.items()))
            if name in seen:
                raise ValueError(f"there are two series of {one.index_name} for {dict(one.dimensions)}")
            seen.add(name)
        return self

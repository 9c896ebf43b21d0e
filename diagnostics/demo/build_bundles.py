"""Build the bundles of the demo's diagnostics, with the dimensions and statistics that all of them use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import JsonValue

from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import Interval
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats
from climate_ref_prefect.diagnostics.demo.read_temperature import REGION, SAMPLINGS, Extent
from climate_ref_prefect.diagnostics.demo.statistic_names import STATISTICS
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile, Provenance

GROUP_BY = ("source_id", "experiment_id", "member_id", "table_id", "variable_id", "grid_label")
"""One execution per data set, whatever grids and members a model has."""
DATA_FILE = "data.nc"
PLOT_FILE = "plot.png"
"""Sorts before all second plots: what shows one plot of an execution shows this."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The data set that an execution is about."""

    dataset: Dataset
    dimensions: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, definition: ExecutionDefinition) -> Self:
        """Take the group's own data set, which is the first."""
        dataset = definition.datasets[0]
        dimensions = {facet: dataset.facets[facet] for facet in GROUP_BY}
        level = SAMPLINGS[dataset.facets["table_id"]].level_name
        return cls(dataset, {**dimensions, "region": REGION, "level": level})

    @property
    def title(self) -> str:
        """The model run, as the first words of a plot's title."""
        return " ".join(self.dimensions[facet] for facet in ("source_id", "experiment_id", "member_id"))

    def place(self, extent: Extent) -> str:
        """Return where the numbers are from, as the second line of a plot's title."""
        table, level = self.dimensions["table_id"], self.dimensions["level"]
        return f"Air temperature at {level}, mean of {extent} ({table})"

    def metrics(
        self,
        metric: str,
        values: Mapping[str, float | None],
        extent: Extent,
        notes: Mapping[str, JsonValue],
    ) -> MetricBundle:
        """Return a bundle of statistics, each with its units and with what has to be said of it."""
        address = {**self.dimensions, "metric": metric}
        dimensions: dict[str, dict[str, dict[str, JsonValue]]] = {name: {value: {}} for name, value in address.items()}
        dimensions["statistic"] = {
            name: {"long_name": STATISTICS[name].long_name, "units": STATISTICS[name].units} for name in values
        }
        results: dict[str, JsonValue] = dict(values)
        for value in reversed(address.values()):
            results = {value: results}
        return MetricBundle(
            json_structure=(*address, "statistic"),
            dimensions=dimensions,
            results=results,
            notes={"area": str(extent), **notes},
            disclaimer={"data": extent.doubt} if extent.doubt else {},
        )

    def series(
        self,
        metric: str,
        statistic: str,
        index: tuple[str, list[int]],
        values: Floats,
        interval: Interval | None = None,
    ) -> tuple[Series, ...]:
        """
        Return a statistic along an index, and where it has one, both ends of its confidence interval.

        Parameters
        ----------
        metric, statistic
            What was held against what, and what the numbers are.
        index
            Its name and its values.
        values
            As many as the index has.
        interval
            Of the values.
        """
        lines = {statistic: values}
        if interval:
            lines |= {f"{statistic}_lower": interval.lower, f"{statistic}_upper": interval.upper}
        return tuple(
            Series(
                dimensions={**self.dimensions, "metric": metric, "statistic": name},
                index_name=index[0],
                index=tuple(index[1]),
                values=tuple(value if np.isfinite(value) else None for value in line.tolist()),
                attributes={"units": STATISTICS[name].units, "long_name": STATISTICS[name].long_name},
            )
            for name, line in lines.items()
        )

    def outputs(
        self, name: str, description: str, datasets: tuple[Dataset, ...], second_plot: tuple[str, str] | None
    ) -> OutputBundle:
        """
        Return the bundle of the data file and the plots of an execution.

        Parameters
        ----------
        name, description
            Of the diagnostic, and of what is shown.
        datasets
            Those that were read.
        second_plot
            The file name of the second plot and what it shows, where there is one.
        """

        def described(filename: str, content: str) -> OutputFile:
            long_name = f"{name}: {content}"
            return OutputFile(
                filename=filename, long_name=long_name, description=description, dimensions=self.dimensions
            )

        plots = {PLOT_FILE: "plot", **dict([second_plot] if second_plot else [])}
        return OutputBundle(
            data={"data": described(DATA_FILE, "data")},
            plots={Path(filename).stem: described(filename, content) for filename, content in plots.items()},
            provenance=Provenance(modeldata=tuple(dataset.instance_id for dataset in datasets)),
        )

"""Putting numbers into the form in which a diagnostic hands them back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from climate_ref_prefect.diagnostics.definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.demo.statistics import STATISTICS
from climate_ref_prefect.diagnostics.demo.times import Floats
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle, Scalar
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile, Provenance
from climate_ref_prefect.diagnostics.result import Series

FACETS = ("source_id", "experiment_id", "member_id", "table_id", "variable_id", "grid_label")
"""Facets that every number and file of the demo belongs to; one execution per combination."""

DIMENSIONS = (*FACETS, "region", "level", "statistic")
REGION = "all-grid-points"
"""The area mean is over all that the data set has; in the sample data a few points near the north pole."""

DATA_FILE = "data.nc"
PLOT_FILE = "plot.png"


@dataclass(frozen=True, slots=True)
class LevelResult:
    """The statistics of one pressure level."""

    statistics: Mapping[str, Scalar]
    reason: str = ""
    """Why some of them are null; empty where none is."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the data file."""

    dimensions: tuple[str, ...]
    values: Floats
    units: str
    long_name: str


def own_dataset(definition: ExecutionDefinition) -> Dataset:
    """
    Return the data set that the execution is about.

    Raises
    ------
    DiagnosticError
        If two share all facets of the group: joining them would make one record of two.
    """
    first = definition.datasets[0]
    same = [d for d in definition.datasets if all(d.facets[facet] == first.facets[facet] for facet in FACETS)]
    if len(same) > 1:
        names = " and ".join(dataset.instance_id for dataset in same)
        raise DiagnosticError(f"{definition.label} has more than one data set: {names}.")
    return first


def metric_bundle(dataset: Dataset, levels: Mapping[str, LevelResult], period: str) -> MetricBundle:
    """Build the bundle of all statistics; NOTES say of each level why something is null."""
    facets = tuple(dataset.facets[facet] for facet in FACETS)
    scalars: dict[tuple[str, ...], Scalar] = {
        (*facets, REGION, level, name): value
        for level, result in levels.items()
        for name, value in result.statistics.items()
    }
    bundle = MetricBundle.from_scalars(DIMENSIONS, scalars, provenance={"period": period, "data": dataset.instance_id})
    described = {
        name: {"long_name": STATISTICS[name].long_name, "units": STATISTICS[name].units}
        for name in bundle.dimensions["statistic"]
    }
    return MetricBundle(
        json_structure=bundle.json_structure,
        dimensions={**bundle.dimensions, "statistic": described},
        results=bundle.results,
        provenance=bundle.provenance,
        notes={level: result.reason for level, result in levels.items() if result.reason},
    )


def series(dataset: Dataset, level: str, statistic: str, index_name: str, index: Iterable[int], values: Floats) -> Series:
    """Build the series of one statistic along `index_name`; NaN becomes null."""
    about = STATISTICS[statistic]
    address = {facet: dataset.facets[facet] for facet in FACETS}
    return Series(
        dimensions={**address, "region": REGION, "level": level, "statistic": statistic},
        index_name=index_name,
        index=tuple(int(at) for at in index),
        values=tuple(None if np.isnan(value) else float(value) for value in values),
        attributes={"units": about.units, "long_name": about.long_name},
    )


def output_bundle(dataset: Dataset, title: str, plot: str, read: Sequence[Dataset] = ()) -> OutputBundle:
    """Describe the data file and the plot that lie in the output directory."""
    address = {facet: dataset.facets[facet] for facet in FACETS}
    return OutputBundle(
        provenance=Provenance(modeldata=tuple(one.instance_id for one in read or (dataset,))),
        data={"data": OutputFile(filename=DATA_FILE, long_name=f"{title}: the numbers", dimensions=address)},
        plots={"plot": OutputFile(filename=PLOT_FILE, long_name=title, description=plot, dimensions=address)},
    )


def write_netcdf(
    path: Path, title: str, coordinates: Mapping[str, Variable], variables: Mapping[str, Variable], source: Dataset
) -> None:
    """
    Write a CF NetCDF file, the same bytes for the same numbers: it holds no time and no host.

    Parameters
    ----------
    path
        File to make.
    coordinates
        Coordinate variables by the name of their dimension.
    variables
        Data variables by name.
    source
        The data set that the numbers are of.
    """
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"Conventions": "CF-1.11", "title": title, "source": source.instance_id})
        for name, coordinate in coordinates.items():
            file.createDimension(name, len(coordinate.values))
        for name, variable in {**coordinates, **variables}.items():
            _write_variable(file, name, variable)


def level_coordinate(levels: Sequence[str]) -> Variable:
    """Return the coordinate of pressure levels such as `850hPa`."""
    pressures = np.array([float(level.removesuffix("hPa")) for level in levels])
    return Variable(("level",), pressures, "hPa", "pressure")


def month_coordinate() -> Variable:
    """Return the coordinate of the twelve months."""
    return Variable(("month",), np.arange(1.0, 13.0), "1", "month of the year")


def _write_variable(file: netCDF4.Dataset, name: str, variable: Variable) -> None:
    is_coordinate = variable.dimensions == (name,)
    fill = None if is_coordinate else netCDF4.default_fillvals["f8"]
    created = file.createVariable(name, "f8", variable.dimensions, fill_value=fill)
    created.setncatts({"units": variable.units, "long_name": variable.long_name})
    values: NDArray[np.float64] = variable.values
    created[:] = values if is_coordinate else np.ma.masked_invalid(values)

"""Writing small NetCDF files that follow the CF conventions; the same numbers give the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4

from climate_ref_prefect.diagnostics.demo.record import Floats, Integers


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable along one dimension, or none; one named like its dimension is its coordinate."""

    name: str
    dimension: str | None
    values: Floats | Integers | float
    units: str
    long_name: str
    standard_name: str | None = None


def write_netcdf(path: Path, variables: list[Variable], attributes: Mapping[str, str]) -> None:
    """
    Write variables to a new NetCDF-4 file.

    Parameters
    ----------
    path
        Must not exist.
    variables
        Coordinates before what lies along them.
    attributes
        Global attributes; no time of creation is added, so that files can be compared.
    """
    with netCDF4.Dataset(path, "w", clobber=False) as file:
        file.setncatts({"Conventions": "CF-1.11", **attributes})
        for variable in variables:
            _write(file, variable)


def _write(file: netCDF4.Dataset, variable: Variable) -> None:
    if variable.dimension == variable.name and not isinstance(variable.values, float):
        file.createDimension(variable.name, len(variable.values))
    dimensions = (variable.dimension,) if variable.dimension else ()
    kind = "f8" if isinstance(variable.values, float) else variable.values.dtype
    written = file.createVariable(variable.name, kind, dimensions)
    if variable.standard_name:
        written.standard_name = variable.standard_name
    written.long_name = variable.long_name
    written.units = variable.units
    written[...] = variable.values

"""Writing small NetCDF files that follow the CF conventions; the same numbers give the same bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import netCDF4

from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import CONFIDENCE, Interval
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats, Integers


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable along dimensions, named with spaces between; one named like its dimension is its coordinate."""

    name: str
    dimensions: str
    values: Floats | Integers
    units: str
    long_name: str
    standard_name: str | None = None

    def with_interval(self, interval: Interval) -> list["Variable"]:
        """Return the variable and the two ends of its confidence interval."""
        return [self, self._end("lower", interval.lower), self._end("upper", interval.upper)]

    def _end(self, end: str, values: Floats) -> "Variable":
        long_name = f"{self.long_name}: {end} end of the {CONFIDENCE * 100:g} % confidence interval"
        return replace(self, name=f"{self.name}_{end}", values=values, long_name=long_name)


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
    if variable.dimensions == variable.name:
        file.createDimension(variable.name, len(variable.values))
    written = file.createVariable(variable.name, variable.values.dtype, tuple(variable.dimensions.split()))
    if variable.standard_name:
        written.standard_name = variable.standard_name
    written.long_name = variable.long_name
    written.units = variable.units
    written[...] = variable.values

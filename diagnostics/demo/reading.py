"""
Reading a data set of air temperature as area means, one per time and pressure level.

Files are opened with netCDF4 itself, a third of the time of `xarray.open_dataset`: an ensemble has hundreds of them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import netCDF4
import numpy as np

from climate_ref_prefect.diagnostics.definition import Dataset
from climate_ref_prefect.diagnostics.demo.grid import area_weights, bounds_from_centres
from climate_ref_prefect.diagnostics.demo.times import Flags, Floats, Times, Years, decode
from climate_ref_prefect.diagnostics.errors import DiagnosticError

_DIMENSIONS = ("time", "plev", "lat", "lon")
_UNITS = "K"
_PASCAL_PER_HPA = 100.0


@dataclass(frozen=True, slots=True)
class AreaMeans:
    """Area-mean air temperature of a data set, in K."""

    levels: tuple[str, ...]
    """Pressure levels, for example `850hPa`, in the order of the files."""
    daily: bool
    """Whether the values are daily rather than monthly means."""
    times: Times
    values: Floats
    """Shape (time, level); NaN where any cell is missing."""


@dataclass(frozen=True, slots=True)
class _Grid:
    levels: Floats
    latitudes: Floats
    longitudes: Floats
    weights: Floats

    def is_of(self, *coordinates: Floats) -> bool:
        own = (self.levels, self.latitudes, self.longitudes)
        return all(map(np.array_equal, own, coordinates))


def read_area_means(dataset: Dataset, years: Years) -> AreaMeans:
    """
    Read what a data set has of a period.

    The mean is over all cells, weighted by area. Where any of them is missing (a pressure level below the
    ground), so is the mean: a mean over those that are left would be of another, changing area.

    Parameters
    ----------
    dataset
        Air temperature on (time, plev, lat, lon), in K.
    years
        First and last year to read.

    Raises
    ------
    DiagnosticError
        If a file is not NetCDF, or not of this form, or if the files do not follow one another in time.
    OSError
        If the system cannot read a file.
    """
    grid: _Grid | None = None
    parts: list[tuple[Times, Floats]] = []
    for path in dataset.files:
        with opened(path) as file:
            which, times = _decoded(file, years, path)
            if not which.any():
                continue
            grid = _same_grid(file, grid, path)
            values = _variable(file, dataset.facets["variable_id"], path)
            parts.append((times, mean_over_cells(_plain(values)[which], grid.weights)))
    if grid is None:
        raise DiagnosticError(f"{dataset.instance_id} has no data in {years[0]}-{years[1]}.")
    return AreaMeans(
        levels=tuple(f"{round(level / _PASCAL_PER_HPA, 2):g}hPa" for level in grid.levels),
        daily=dataset.facets["table_id"] == "day",
        times=_joined([times for times, _ in parts], dataset),
        values=np.concatenate([values for _, values in parts]),
    )


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    """
    Open a NetCDF file, telling a broken file from a system that cannot read.

    Raises
    ------
    DiagnosticError
        If the file can be read, but not as NetCDF: no other attempt would do better.
    OSError
        If the system cannot read it.
    """
    try:
        with netCDF4.Dataset(path) as file:
            yield file
    except OSError as error:
        if error.errno is not None and error.errno > 0:
            raise
        raise _broken(path, error) from error
    except RuntimeError as error:  # what netCDF4 raises while reading values
        raise _broken(path, error) from error


def mean_over_cells(values: Floats, weights: Floats) -> Floats:
    """
    Return the weighted mean over the cells of a grid, missing where any cell is.

    Parameters
    ----------
    values
        Shape (time, level, lat, lon), NaN where missing.
    weights
        Shape (lat, lon), of sum 1.

    Returns
    -------
    Shape (time, level).
    """
    cells = (values * weights).reshape(*values.shape[:2], -1)
    # No BLAS: its order of summation depends on the number of its threads.
    return np.asarray(cells.sum(axis=-1), dtype=np.float64)


def _broken(path: Path, error: Exception) -> DiagnosticError:
    with path.open("rb") as file:  # HDF5 says the same of a broken file and of a broken disk
        while file.read(1 << 20):
            pass
    return DiagnosticError(f"{path} cannot be read as NetCDF: {error}")


def _variable(file: netCDF4.Dataset, name: str, path: Path) -> "netCDF4.Variable[np.float64]":
    found = _existing(file, name, path)
    if found.dimensions != _DIMENSIONS:
        raise DiagnosticError(f"{name} in {path} is on {found.dimensions}, not on {_DIMENSIONS}.")
    if (units := getattr(found, "units", None)) != _UNITS:
        raise DiagnosticError(f"{name} in {path} is in {units}, not in {_UNITS}.")
    return found


def _existing(file: netCDF4.Dataset, name: str, path: Path) -> "netCDF4.Variable[np.float64]":
    if name not in file.variables:
        raise DiagnosticError(f"{path} has no variable {name}; it has {', '.join(file.variables) or 'none'}.")
    return file[name]


def _plain(variable: "netCDF4.Variable[np.float64]") -> Floats:
    """Return all values as float64, NaN where the file says that they are missing."""
    values = np.ma.asarray(variable[:]).astype(np.float64)
    return np.asarray(values.filled(np.nan))


def _same_grid(file: netCDF4.Dataset, grid: _Grid | None, path: Path) -> _Grid:
    levels, latitudes, longitudes = (_plain(_existing(file, name, path)) for name in _DIMENSIONS[1:])
    if grid is None:
        weights = area_weights(_bounds(file, "lat", latitudes), _bounds(file, "lon", longitudes))
        return _Grid(levels, latitudes, longitudes, weights)
    if not grid.is_of(levels, latitudes, longitudes):
        raise DiagnosticError(f"{path} is on another grid than the files before it.")
    return grid


def _bounds(file: netCDF4.Dataset, name: str, centres: Floats) -> Floats:
    bounds = getattr(file[name], "bounds", None)
    return _plain(file[bounds]) if bounds in file.variables else bounds_from_centres(centres)


def _decoded(file: netCDF4.Dataset, years: Years, path: Path) -> tuple[Flags, Times]:
    time = _existing(file, "time", path)
    try:
        return decode(_plain(time), time.units, getattr(time, "calendar", "standard"), years)
    except (AttributeError, ValueError) as error:
        raise DiagnosticError(f"The times of {path} cannot be understood: {error}.") from error


def _joined(parts: Sequence[Times], dataset: Dataset) -> Times:
    times = Times(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Times)))
    if (np.diff(times.position) <= 0).any():
        raise DiagnosticError(f"The files of {dataset.instance_id} overlap or are out of order in time.")
    return times

"""Reading CMIP6 air temperature: one pressure level, one region, as area means in time."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Record, Years
from climate_ref_prefect.diagnostics.demo.decode_times import Times, decode
from climate_ref_prefect.diagnostics.demo.retry_locked_files import read_with_retries
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import Dataset

VARIABLE = "ta"
REGION = "north-polar-cap"
SOUTHERN_EDGE = 80.0
"""Southern edge of the region in degrees north."""

_DIMENSIONS = ("time", "plev", "lat", "lon")
_LEVEL_TOLERANCE = 1.0
"""In Pa."""
_PLAUSIBLE = (150.0, 350.0)
"""Air temperatures in K outside these are errors in the data, not weather."""
_SUSPECT = 210.0
"""Colder area means in K are doubted, not refused: no other record of the sample data goes below 223 K."""
_TIME_RANGE = re.compile(r"_(\d{4})\d*-(\d{4})\d*\.nc$")


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is read of a CMIP6 table."""

    level: float
    """Pressure in Pa."""
    climatology: Years
    """Years that a climatology is made of: the same for all models."""

    @property
    def level_name(self) -> str:
        """The level in the words of a plot, for example `925 hPa`."""
        return f"{self.level / 100:g} hPa"


SAMPLINGS = {
    # The lower of the two levels of each table (1000 hPa) is below the surface in many models, and masked there.
    "Amon": Sampling(level=92500.0, climatology=Years(1981, 2010)),
    "day": Sampling(level=85000.0, climatology=Years(2000, 2002)),
}


@dataclass(frozen=True, slots=True)
class Extent:
    """Which grid points an area mean is made of."""

    points: int
    south: float
    north: float
    coldest: float
    """Lowest area mean in K."""

    @property
    def doubt(self) -> str | None:
        """The reason why the data cannot be used, for users; None if they can."""
        if self.coldest >= _SUSPECT:
            return None
        return (
            f"Means down to {self.coldest:.1f} K are known from the stratosphere, not from this level: "
            "the levels of this data set may be in the wrong order."
        )

    def __str__(self) -> str:
        return f"{self.points} grid points, {self.south:.1f}-{self.north:.1f}°N"


@dataclass(frozen=True, slots=True)
class _Block:
    """What one file holds: values in K, shape (time, lat, lon), and where and when they are."""

    values: Floats
    latitude: Floats
    times: Times
    calendar: str


def area_weights(latitude: Floats, longitudes: int) -> Floats:
    """
    Return weights in proportion to the area of the cells of a regular grid, cos(latitude).

    The bounds in the sample data are missing in one model and wrong in others, so they are not used.
    A row on the pole itself has no weight.

    Parameters
    ----------
    latitude
        In degrees north, shape (lat,).
    longitudes
        Number of points on each row.
    """
    row = np.clip(np.cos(np.deg2rad(latitude)), 0.0, None)
    return np.repeat(row[:, np.newaxis], longitudes, axis=1)


def area_mean(values: Floats, weights: Floats) -> Floats:
    """
    Return the weighted mean of the grid points that have a value at all times, in order of the grid.

    A set of points that changed with time would make steps that are none of the model's.

    Parameters
    ----------
    values
        Shape (time, lat, lon); NaN where missing.
    weights
        Shape (lat, lon).

    Raises
    ------
    DiagnosticError
        If no grid point that counts has a value at all times.
    """
    always = np.isfinite(values).all(axis=0) & (weights > 0)
    if not always.any():
        raise DiagnosticError("No grid point of the region has a value at all times.")
    used = weights[always]
    return np.asarray((values[:, always] * used).sum(axis=1) / used.sum(), dtype=np.float64)


def read_area_mean(dataset: Dataset, years: Years) -> tuple[Record, Extent]:
    """
    Read the mean air temperature of the region at the level that belongs to the data set's table.

    Parameters
    ----------
    dataset
        Files on one regular grid.
    years
        What lies outside is not read.

    Raises
    ------
    DiagnosticError
        If a file is no NetCDF file, or what it holds cannot be used; it names the file.
    OSError
        If the system cannot read a file.
    """
    sampling = SAMPLINGS[dataset.facets["table_id"]]
    blocks = [block for file in dataset.files for block in _read(file, sampling.level, years)]
    if not blocks:
        raise DiagnosticError(f"{dataset.instance_id} has no data in {years}.")
    if any(not np.array_equal(block.latitude, blocks[0].latitude) for block in blocks):
        raise DiagnosticError(f"The files of {dataset.instance_id} are on different grids.")
    values = np.concatenate([block.values for block in blocks])
    latitude = blocks[0].latitude
    record = _record(dataset, blocks, area_mean(values, area_weights(latitude, values.shape[2])), years.first)
    extent = Extent(
        points=values[0].size,
        south=float(latitude.min()),
        north=float(latitude.max()),
        coldest=float(record.values.min()),
    )
    if extent.doubt:
        logger.warning("%s: %s", dataset.instance_id, extent.doubt)
    return record, extent


def _record(dataset: Dataset, blocks: list[_Block], means: Floats, first_year: int) -> Record:
    monthly = dataset.facets["table_id"] == "Amon"
    month = np.concatenate([block.times.month for block in blocks])
    step = month if monthly else np.concatenate([block.times.day for block in blocks])
    if (np.diff(step) <= 0).any():
        raise DiagnosticError(f"The times of {dataset.instance_id} overlap or are not in order.")
    days = np.concatenate([block.times.month_days for block in blocks])
    return Record(
        values=means,
        year=first_year + month // MONTHS,
        month=month % MONTHS + 1,
        days=days if monthly else np.ones_like(days),
        calendar=blocks[0].calendar,
    )


def _read(path: Path, level: float, years: Years) -> list[_Block]:
    """Return what a file holds of these years: one block, or none."""
    named = _TIME_RANGE.search(path.name)
    if named and (int(named[2]) < years.first or int(named[1]) > years.last):
        return []
    return read_with_retries(path, lambda: _read_now(path, level, years))


def _read_now(path: Path, level: float, years: Years) -> list[_Block]:
    try:
        with netCDF4.Dataset(path) as file:
            times = _times(path, file, years)
            return [_block(path, file, level, times)] if len(times.index) else []
    except (IndexError, KeyError, AttributeError) as error:
        raise DiagnosticError(f"{path} is not a CMIP6 file of {VARIABLE}: {error}.") from error


def _times(path: Path, file: netCDF4.Dataset, years: Years) -> Times:
    variable = file["time"]
    units, calendar = str(variable.units), _calendar(variable)
    try:
        return decode(variable[:], units, calendar, years)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        raise DiagnosticError(f"{path}: its times ({units}, calendar {calendar!r}) cannot be used: {error}.") from error


def _calendar(time: Any) -> str:
    """Return the calendar of a time coordinate; CF says `standard` where none is named."""
    return str(getattr(time, "calendar", "standard"))


def _coordinate(file: netCDF4.Dataset, name: str) -> Floats:
    file[name].set_auto_mask(False)
    return np.asarray(file[name][:], dtype=np.float64)


def _block(path: Path, file: netCDF4.Dataset, level: float, times: Times) -> _Block:
    variable = file[VARIABLE]
    if variable.dimensions != _DIMENSIONS:
        raise DiagnosticError(f"{path}: {VARIABLE} has dimensions {variable.dimensions}, not {_DIMENSIONS}.")
    latitude = _coordinate(file, "lat")
    rows = np.flatnonzero(latitude >= SOUTHERN_EDGE)
    if not len(rows):
        raise DiagnosticError(f"{path} has no grid point north of {SOUTHERN_EDGE:g}°N.")
    # Periods and polar caps are contiguous, and slices are read much faster than lists of indices.
    when, where = slice(times.index[0], times.index[-1] + 1), slice(rows[0], rows[-1] + 1)
    read = variable[when, _level_index(path, file, level), where, :]
    values = np.ma.filled(read.astype(np.float64), np.nan)
    _refuse_implausible(path, values)
    return _Block(values, latitude[where], times, _calendar(file["time"]))


def _level_index(path: Path, file: netCDF4.Dataset, level: float) -> int:
    levels = _coordinate(file, "plev")
    matching = np.flatnonzero(np.abs(levels - level) <= _LEVEL_TOLERANCE)
    if not len(matching):
        raise DiagnosticError(f"{path} has no level {level:g} Pa; it has {', '.join(f'{p:g}' for p in levels)}.")
    return int(matching[0])


def _refuse_implausible(path: Path, values: Floats) -> None:
    present = values[np.isfinite(values)]
    low, high = present.min(initial=np.inf), present.max(initial=-np.inf)
    if low < _PLAUSIBLE[0] or high > _PLAUSIBLE[1]:
        raise DiagnosticError(
            f"{path} has air temperatures from {low:g} to {high:g} K; {_PLAUSIBLE[0]:g} to {_PLAUSIBLE[1]:g} K can be."
        )

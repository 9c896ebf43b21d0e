"""Which month and day each time of a file falls on, in any CF calendar."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cftime
import numpy as np
import numpy.typing as npt

from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Integers, Years

_FILLED: Final = 1e19


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a file that are within a period; arrays of shape (time,)."""

    index: Integers
    """Where they are in the file."""
    month: Integers
    """Months since the start of the period, from 0."""
    day: Integers
    """Days since the start of the period, from 0."""
    month_days: Integers
    """Days of the month that each falls in."""


def decode(numbers: npt.NDArray[Any], units: str, calendar: str, years: Years) -> Times:
    """
    Find the times within a period.

    They are compared with the starts of the months as numbers; a date object for each takes ten times as long.

    Parameters
    ----------
    numbers
        The time coordinate, shape (time,), in `units`; masked where missing.
    units, calendar
        As CF writes them, for example `days since 1850-01-01` and `noleap`.
    years
        The period.

    Raises
    ------
    ValueError
        If a time is missing, the times are not in order, or units and calendar do not say when they are.
    """
    numbers = _present(numbers)
    starts, per_day = _month_starts(units, calendar, years)
    month = np.searchsorted(starts, numbers, side="right") - 1
    index = np.flatnonzero((month >= 0) & (month < len(starts) - 1))
    if (np.diff(index) != 1).any():
        raise ValueError(f"those within {years} do not follow each other")
    within = month[index]
    return Times(
        index=index,
        month=within,
        day=np.floor((numbers[index] - starts[0]) / per_day).astype(np.int64),
        month_days=np.rint((starts[within + 1] - starts[within]) / per_day).astype(np.int64),
    )


def _present(numbers: npt.NDArray[Any]) -> Floats:
    """Return times as numbers, none of them missing: by mask, as NaN, or as the huge number that CMIP fills with."""
    filled = np.ma.filled(np.ma.asarray(numbers, dtype=np.float64), np.nan)
    missing = np.flatnonzero(~(np.abs(filled) < _FILLED))
    if len(missing):
        raise ValueError(f"{len(missing)} of {filled.size} are missing, the first at index {missing[0]}")
    return np.asarray(filled, dtype=np.float64)


@lru_cache(maxsize=512)
def _month_starts(units: str, calendar: str, years: Years) -> tuple[Floats, float]:
    """Return the starts of all months of a period, its end, and how many units a day has."""
    months = [(year, month) for year in range(years.first, years.last + 1) for month in range(1, MONTHS + 1)]
    dates = [cftime.datetime(year, month, 1, calendar=calendar) for year, month in [*months, (years.last + 1, 1)]]
    second_day = cftime.datetime(years.first, 1, 2, calendar=calendar)
    numbers = np.asarray(cftime.date2num([*dates, second_day], units, calendar), dtype=np.float64)
    return numbers[:-1], float(numbers[-1] - numbers[0])

"""A series of area means in time, and its means over months and years. Pure calculations on numpy arrays."""

from dataclasses import dataclass, replace
from typing import Self

import cftime
import numpy as np
import numpy.typing as npt

from climate_ref_prefect.diagnostics.errors import DiagnosticError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
MONTHS = 12


@dataclass(frozen=True, slots=True)
class Years:
    """A span of whole years, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Record:
    """
    Area means in the order of time, with their dates in the calendar of the model.

    Parameters
    ----------
    values
        Area means in K, shape (time,).
    year, month
        Date of each value, shape (time,).
    days
        Days that each value stands for, shape (time,): the length of the month, or 1.
    calendar
        Name of the CF calendar.
    """

    values: Floats
    year: Integers
    month: Integers
    days: Integers
    calendar: str

    def complete_years(self) -> Self:
        """Return the years of which every day is covered; a part of a year would bias its means."""
        years, position = np.unique(self.year, return_inverse=True)
        covered = np.bincount(position, weights=self.days)
        complete = covered == [_days_in_year(int(year), self.calendar) for year in years]
        return self._where(complete[position])

    def _where(self, keep: npt.NDArray[np.bool_]) -> Self:
        return replace(
            self, values=self.values[keep], year=self.year[keep], month=self.month[keep], days=self.days[keep]
        )

    @property
    def years(self) -> Integers:
        """The years that have values, ascending."""
        return np.unique(self.year)

    @property
    def is_gapless(self) -> bool:
        """Whether each year that has values follows the one before."""
        return len(self.years) == int(self.years[-1] - self.years[0]) + 1

    @property
    def is_daily(self) -> bool:
        """Whether each value stands for a day."""
        return bool((self.days == 1).all())

    @property
    def phase(self) -> Floats:
        """Middle of each value's time as a fraction of its year, 0 to 1, shape (time,); of complete years only."""
        ends = np.cumsum(self.days)
        first = np.searchsorted(self.year, self.years)
        starts = (ends - self.days)[first]
        length = np.array([_days_in_year(int(year), self.calendar) for year in self.years])
        of_year = np.searchsorted(self.years, self.year)
        return np.asarray((ends - self.days / 2 - starts[of_year]) / length[of_year], dtype=np.float64)

    def annual_means(self) -> Floats:
        """Return the mean of each year in K, every value weighted by its days, shape (years,)."""
        return _means(self.values, self.days, np.searchsorted(self.years, self.year), len(self.years))

    def monthly_means(self) -> Floats:
        """Return the mean of each month in K, shape (years, 12); of complete years only."""
        months = np.searchsorted(self.years, self.year) * MONTHS + self.month - 1
        means = _means(self.values, self.days, months, len(self.years) * MONTHS)
        return means.reshape(-1, MONTHS)


def require_years(record: Record, at_least: int, period: Years) -> Record:
    """
    Return the complete years of a record.

    Raises
    ------
    DiagnosticError
        If there are fewer than `at_least`.
    """
    complete = record.complete_years()
    if len(complete.years) < at_least:
        raise DiagnosticError(
            f"The data have {len(complete.years)} complete years within {period}; at least {at_least} are needed."
        )
    return complete


def _means(values: Floats, weights: Integers, position: Integers, size: int) -> Floats:
    # bincount adds in the order of the input, so the same numbers give the same bits anywhere.
    total = np.bincount(position, weights=values * weights, minlength=size)
    return np.asarray(total / np.bincount(position, weights=weights, minlength=size), dtype=np.float64)


def _days_in_year(year: int, calendar: str) -> int:
    start = cftime.datetime(year, 1, 1, calendar=calendar)
    return int((cftime.datetime(year + 1, 1, 1, calendar=calendar) - start).days)

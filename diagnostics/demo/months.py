"""Monthly, annual and climatological means, and the annual cycle; pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

from climate_ref_prefect.diagnostics.demo.reading import AreaMeans
from climate_ref_prefect.diagnostics.demo.times import Floats, Integers

MONTHS = 12
MONTH_DAYS: Floats = np.array([31, 28.2425, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
"""Mean lengths of the months of the Gregorian calendar: the weights of the twelve months of a climatology."""


@dataclass(frozen=True, slots=True)
class MonthlyMeans:
    """Monthly means of whole years."""

    years: Integers
    """Shape (year)."""
    values: Floats
    """K, shape (year, 12, level); NaN where a month is missing or incomplete."""
    days: Floats
    """Length of each month in the calendar of the model, shape (year, 12); NaN where a month is missing."""


@dataclass(frozen=True, slots=True)
class Climatology:
    """The mean year; all of shape (12, level)."""

    mean: Floats
    """K; NaN for a month that no year has."""
    spread: Floats
    """Standard deviation over the years, n - 1 in the denominator, K; NaN with fewer than two years."""
    count: Integers
    """How many years have this month."""


@dataclass(frozen=True, slots=True)
class FirstHarmonic:
    """The cosine of one year that fits twelve months best."""

    amplitude: float
    """K."""
    phase: float
    """Time of its maximum in months after 1 January, 0 to 12."""
    variance_fraction: float | None
    """Its share in the variance of the twelve months; none where they do not vary."""


def monthly_means(means: AreaMeans) -> MonthlyMeans:
    """
    Arrange monthly values by year and month; daily ones are averaged, where every day of the month is there.

    Of a month that lacks days no mean is made: they do not lack at random
    (a pressure level is below the ground when surface pressure is low).
    """
    times = means.times
    first, last = int(times.year.min()), int(times.year.max())
    shape = (last - first + 1, MONTHS)
    at = (times.year - first, times.month - 1)
    steps, days = np.zeros(shape), np.full(shape, np.nan)
    sums = np.zeros((*shape, len(means.levels)))
    np.add.at(steps, at, 1)
    np.add.at(sums, at, means.values)
    days[at] = times.month_days
    complete = steps == (days if means.daily else 1)
    values = np.where(complete[..., np.newaxis], sums / np.maximum(steps, 1)[..., np.newaxis], np.nan)
    return MonthlyMeans(np.arange(first, last + 1), values, days)


def annual_means(monthly: MonthlyMeans) -> Floats:
    """Return the means of complete years weighted by the lengths of their months, shape (year, level), else NaN."""
    weights = monthly.days / monthly.days.sum(axis=1, keepdims=True)
    return np.asarray((monthly.values * weights[..., np.newaxis]).sum(axis=1))


def climatology(monthly: MonthlyMeans) -> Climatology:
    """Average each month over the years that have it."""
    present = ~np.isnan(monthly.values)
    count = present.sum(axis=0)
    mean = np.where(present, monthly.values, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
    squares = np.where(present, monthly.values - mean, 0.0) ** 2
    spread = np.sqrt(squares.sum(axis=0) / np.where(count > 1, count - 1, np.nan))
    return Climatology(mean, spread, count)


def mean_of_months(months: Floats) -> float:
    """Return the mean of twelve months, shape (12), weighted by their lengths."""
    return float((months * MONTH_DAYS).sum() / MONTH_DAYS.sum())


def first_harmonic(months: Floats) -> FirstHarmonic:
    """
    Fit one cosine to twelve months by discrete Fourier transform.

    The middle of month m is taken at (m - 1/2) / 12 of the year. With
    a = (2/12) sum T_m cos(w_m) and b = (2/12) sum T_m sin(w_m), the amplitude is sqrt(a^2 + b^2), the phase
    atan2(b, a), and the share of variance (amplitude^2 / 2) / variance
    (Wilks 2011, Statistical Methods in the Atmospheric Sciences, 3rd ed., section 9.4).

    Parameters
    ----------
    months
        Climatological means in K, shape (12).
    """
    angles = 2 * np.pi * (np.arange(MONTHS) + 0.5) / MONTHS
    a = float((months * np.cos(angles)).sum() * 2 / MONTHS)
    b = float((months * np.sin(angles)).sum() * 2 / MONTHS)
    variance = float(((months - months.mean()) ** 2).mean())
    return FirstHarmonic(
        amplitude=float(np.hypot(a, b)),
        phase=float(np.arctan2(b, a) * MONTHS / (2 * np.pi) % MONTHS),
        variance_fraction=(a * a + b * b) / 2 / variance if variance > 0 else None,
    )

"""The annual cycle: monthly climatology, range, and amplitude and time of its first harmonic."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import chdtri

from climate_ref_prefect.diagnostics.demo.calculations.anomalies import Anomalies, SeasonalNoise
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap, block_length
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import (
    CONFIDENCE,
    LINEAR,
    LOGARITHM,
    LOGIT,
    Interval,
    interval,
)
from climate_ref_prefect.diagnostics.demo.calculations.linear_trend import departures_from_line
from climate_ref_prefect.diagnostics.demo.calculations.safe_division import ratio
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Record

MIDDLES = (np.arange(MONTHS) + 0.5) / MONTHS
"""Middles of twelve equal months, as fractions of a year."""
LEAST_YEARS_TO_RESAMPLE = 10
"""Of monthly data: fewer years say too little of how much years differ."""
_SCALES = {
    "annual_mean": LINEAR,
    "annual_range": LOGARITHM,
    "first_harmonic_amplitude": LOGARITHM,
    "first_harmonic_phase": LINEAR,
    "first_harmonic_variance_fraction": LOGIT,
}


@dataclass(frozen=True, slots=True)
class AnnualCycle:
    """The annual cycle of some years."""

    monthly: Floats
    """Means of months in K, shape (years, 12), two years at least."""

    @property
    def climatology(self) -> Floats:
        """Mean of each calendar month in K, shape (12,)."""
        return np.asarray(self.monthly.mean(axis=0), dtype=np.float64)

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each calendar month among the years in K, shape (12,)."""
        return np.asarray(self.monthly.std(axis=0, ddof=1), dtype=np.float64)

    @property
    def harmonic(self) -> Floats:
        """The first harmonic about the annual mean in K, shape (12,)."""
        found = self.statistics()
        angle = 2 * np.pi * (MIDDLES - found["first_harmonic_phase"] / MONTHS)
        return np.asarray(found["annual_mean"] + found["first_harmonic_amplitude"] * np.cos(angle), dtype=np.float64)

    def statistics(self) -> dict[str, float]:
        """Return the scalars that describe the climatology; the share is NaN where there is no annual cycle."""
        found = {name: float(value) for name, value in describe(self.climatology).items()}
        return {**found, "years_used": len(self.monthly)}


@dataclass(frozen=True, slots=True)
class CycleUncertainty:
    """Confidence intervals of an annual cycle."""

    climatology: Interval
    """In K, shape (12,)."""
    deviation: Interval
    """In K, shape (12,)."""
    statistics: dict[str, Interval]

    @classmethod
    def of(cls, cycle: AnnualCycle, record: Record, bootstrap: Bootstrap) -> Self:
        """Estimate them from the record that the annual cycle is of."""
        deviation = _of_deviation(cycle)
        resampled = resampled_climatologies(record, bootstrap)
        if resampled is None:
            return cls(Interval.unknown(MONTHS), deviation, {name: Interval.unknown() for name in _SCALES})
        found, replicates = cycle.statistics(), describe(resampled)
        # A phase is compared by the shorter way round the year, so an interval may reach below 0 or above 12.
        phase = found["first_harmonic_phase"]
        replicates["first_harmonic_phase"] = phase + _around(replicates["first_harmonic_phase"] - phase)
        statistics = {name: interval(found[name], replicates[name], scale) for name, scale in _SCALES.items()}
        return cls(interval(cycle.climatology, resampled), deviation, statistics)


def describe(climatology: Floats) -> dict[str, Floats]:
    """
    Return the statistics of climatologies, one number each.

    The harmonic is the least squares fit of one cosine; with evenly spaced months that is the
    projection on it (Wilks 2011, Statistical Methods in the Atmospheric Sciences, section 9.4).

    Parameters
    ----------
    climatology
        Mean of each calendar month in K, shape (..., 12).
    """
    cosine = (climatology * np.cos(2 * np.pi * MIDDLES)).sum(axis=-1) * 2 / MONTHS
    sine = (climatology * np.sin(2 * np.pi * MIDDLES)).sum(axis=-1) * 2 / MONTHS
    amplitude = np.hypot(cosine, sine)
    return {
        "annual_mean": climatology.mean(axis=-1),
        "annual_range": np.ptp(climatology, axis=-1),
        "first_harmonic_amplitude": amplitude,
        "first_harmonic_phase": np.arctan2(sine, cosine) / (2 * np.pi) % 1 * MONTHS,
        "first_harmonic_variance_fraction": ratio(amplitude**2 / 2, climatology.var(axis=-1)),
    }


def resampled_climatologies(record: Record, bootstrap: Bootstrap) -> Floats | None:
    """
    Return climatologies as they would be with other weather, shape (resamples, 12), or none.

    Of daily data the anomalies are resampled, of monthly data the departures of years. There are none where years
    are too few, or do not follow each other.
    """
    if not record.is_gapless:
        return None
    if record.is_daily:
        return _of_days(record, bootstrap)
    monthly = record.monthly_means()
    if len(monthly) < LEAST_YEARS_TO_RESAMPLE:
        return None
    departures = departures_from_line(monthly)
    blocks = bootstrap.blocks(len(monthly), block_length(departures.mean(axis=1)))
    return np.asarray(monthly.mean(axis=0) + blocks.means(departures), dtype=np.float64)


def _of_days(record: Record, bootstrap: Bootstrap) -> Floats:
    noise = SeasonalNoise.of(Anomalies.of(record))
    blocks = bootstrap.blocks(len(record.values), block_length(noise.residuals))
    months = record.monthly_means()
    begins = np.flatnonzero(np.diff(record.month, prepend=0))
    days = np.diff(begins, append=len(record.month))
    changes = [np.add.reduceat(resampled, begins, axis=1) / days for resampled in noise.resampled(blocks)]
    return months.mean(axis=0) + np.concatenate(changes).reshape(-1, *months.shape).mean(axis=1)


def _of_deviation(cycle: AnnualCycle) -> Interval:
    """Return the interval of a standard deviation of independent, normally distributed years, by chi-square."""
    freedom = len(cycle.monthly) - 1
    # chdtri has the probability of larger values.
    low, high = (np.sqrt(freedom / chdtri(freedom, (1 + sign * CONFIDENCE) / 2)) for sign in (-1, 1))
    return Interval(cycle.deviation * low, cycle.deviation * high)


def _around(months: Floats) -> Floats:
    return (months + MONTHS / 2) % MONTHS - MONTHS / 2

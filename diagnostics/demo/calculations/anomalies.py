"""Daily anomalies from the annual cycle, and resamples of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Blocks
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Integers, Record
from climate_ref_prefect.diagnostics.errors import DiagnosticError

HARMONICS = 3
"""Three years give no smooth mean per day of the year; three harmonics do follow the season."""
_LEAST_VARIANCE = float(np.finfo(np.float64).tiny)
"""Of made-up data that do not vary, so that they have a logarithm."""


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Daily values, their annual cycle, and what is left without it."""

    values: Floats
    """Daily means in K, shape (days,)."""
    seasonal: Floats
    """The annual cycle on each day in K, shape (days,)."""
    month: Integers
    """Calendar month of each day, shape (days,)."""
    phase: Floats
    """Middle of each day as a fraction of its year, shape (days,)."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """Take the annual cycle out of complete, consecutive years of daily data."""
        if not record.is_gapless:
            raise DiagnosticError(f"The complete years {record.years.tolist()} do not follow each other.")
        phase = record.phase
        return cls(record.values, annual_harmonics(record.values, phase), record.month, phase)

    @property
    def departures(self) -> Floats:
        """Values minus annual cycle in K, shape (days,)."""
        return self.values - self.seasonal


@dataclass(frozen=True, slots=True)
class SeasonalNoise:
    """Anomalies as noise that is the same all year, times a standard deviation that follows the season."""

    residuals: Floats
    """Without units, of zero mean and unit variance, shape (days,)."""
    scale: Floats
    """Standard deviation in each calendar month in K, shape (12,)."""
    month: Integers
    """Calendar month of each day, shape (days,)."""

    @classmethod
    def of(cls, anomalies: Anomalies) -> Self:
        """Divide anomalies by a smooth standard deviation."""
        departures, month = anomalies.departures, anomalies.month
        squares = np.bincount(month - 1, weights=departures**2, minlength=MONTHS)
        variance = squares / np.bincount(month - 1, minlength=MONTHS)
        scale = np.exp(_first_harmonic(np.log(np.maximum(variance, _LEAST_VARIANCE))) / 2)
        residuals = departures / scale[month - 1]
        residuals = residuals - residuals.mean()
        spread = float(residuals.std()) or 1.0
        return cls(residuals / spread, scale * spread, month)

    def resampled(self, blocks: Blocks) -> Iterator[Floats]:
        """Yield resamples of anomalies in K, some at a time, shape (resamples, days)."""
        scale = self.scale[self.month - 1]
        return (resampled * scale for resampled in blocks.resampled(self.residuals))


def annual_harmonics(values: Floats, phase: Floats) -> Floats:
    """
    Fit the mean and the first harmonics of the year by least squares.

    Within a complete year the days are evenly spaced, so the harmonics are orthogonal and the fit is the
    projection on each (Wilks 2011, Statistical Methods in the Atmospheric Sciences, section 9.4).

    Parameters
    ----------
    values
        Daily values of complete years, shape (..., days).
    phase
        Middle of each day as a fraction of its year, shape (days,).
    """
    angles = 2 * np.pi * np.outer(np.arange(1, HARMONICS + 1), phase)
    waves = np.concatenate([np.cos(angles), np.sin(angles)])
    # Left to itself einsum calls no linear algebra library, so the same numbers give the same bits anywhere.
    amplitudes = np.einsum("...d,wd->...w", values, waves) * (2 / len(phase))
    fitted = values.mean(axis=-1, keepdims=True) + np.einsum("...w,wd->...d", amplitudes, waves)
    return np.asarray(fitted, dtype=np.float64)


def _first_harmonic(monthly: Floats) -> Floats:
    """Return the mean and the first harmonic of twelve numbers: three Januaries are too few for one of their own."""
    angle = 2 * np.pi * np.arange(MONTHS) / MONTHS
    waves = np.array([np.cos(angle), np.sin(angle)])
    amplitudes = (waves * monthly).mean(axis=1, keepdims=True) * 2
    return np.asarray(monthly.mean() + (amplitudes * waves).sum(axis=0), dtype=np.float64)

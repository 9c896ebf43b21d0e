"""Day-to-day variability: what is left of daily data when the annual cycle is taken out."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import ndtri

from climate_ref_prefect.diagnostics.demo.calculations.anomalies import Anomalies, SeasonalNoise, annual_harmonics
from climate_ref_prefect.diagnostics.demo.calculations.autocorrelation import (
    autocorrelation,
    autocorrelation_within,
    circular_autocorrelation,
    decorrelation_time,
)
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Blocks, Bootstrap, block_length
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import (
    ARTANH,
    LOGARITHM,
    Interval,
    Scale,
    interval,
)
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats, Integers
from climate_ref_prefect.diagnostics.errors import DiagnosticError

LONGEST_LAG = 20
"""In days."""
LEAST_BLOCK = 2 * LONGEST_LAG
"""In days: half of a block then has a partner within it at the longest lag."""
PROBABILITIES: Floats = np.array([0.01, 0.02, *(np.arange(1, 20) / 20), 0.98, 0.99])
"""Of the quantiles that are held against those of a normal distribution."""
NORMAL_QUANTILES: Floats = ndtri(PROBABILITIES)
"""The same quantiles of a normal distribution of zero mean and unit variance."""

_LEAST_WEATHER = 1e-6
"""In K; data of four bytes resolve no less, so what remains is the error of arithmetic."""
_ALL_YEAR = tuple(range(1, MONTHS + 1))
_SEASONS = {
    "standard_deviation": _ALL_YEAR,
    "standard_deviation_djf": (12, 1, 2),
    "standard_deviation_jja": (6, 7, 8),
}
_PERCENTILES = {"percentile_05": 0.05, "percentile_95": 0.95}


@dataclass(frozen=True, slots=True)
class Spread:
    """How far anomalies are spread: of one record, or of each of many."""

    squares: Floats
    """Sum of the squares in each calendar month in K², shape (..., 12)."""
    days: Integers
    """Days in each calendar month, shape (12,)."""
    quantiles: Floats
    """At `PROBABILITIES` in K, shape (..., quantiles)."""

    @classmethod
    def of(cls, departures: Floats, month: Integers) -> Self:
        """Describe departures in K, shape (..., days), whose days are in these months, shape (days,)."""
        begins = np.flatnonzero(np.diff(month, prepend=0))
        runs = np.add.reduceat(departures**2, begins, axis=-1)
        squares = np.stack([runs[..., month[begins] == number].sum(axis=-1) for number in _ALL_YEAR], axis=-1)
        return cls(squares, np.bincount(month - 1, minlength=MONTHS), _quantiles(departures))

    def monthly_deviation(self) -> Floats:
        """Return the standard deviation of each calendar month in K, shape (..., 12)."""
        return np.sqrt(self.squares / self.days)

    def deviation(self, months: tuple[int, ...] = _ALL_YEAR) -> Floats:
        """Return the standard deviation in K of the days in these months, shape (...)."""
        chosen = np.array(months) - 1
        return np.asarray(np.sqrt(self.squares[..., chosen].sum(axis=-1) / self.days[chosen].sum()))

    def deviations(self) -> dict[str, Floats]:
        """Return the standard deviations that the diagnostic reports, in K."""
        return {name: self.deviation(months) for name, months in _SEASONS.items()}

    def percentiles(self) -> dict[str, Floats]:
        """Return the percentiles that the diagnostic reports, in K."""
        listed = PROBABILITIES.tolist()
        return {name: self.quantiles[..., listed.index(probability)] for name, probability in _PERCENTILES.items()}


@dataclass(frozen=True, slots=True)
class Variability:
    """The variability of a record from day to day."""

    spread: Spread
    correlations: Floats
    """Autocorrelation at lags of 0 to 20 days, shape (21,)."""

    @classmethod
    def of(cls, anomalies: Anomalies) -> Self:
        """
        Describe the departures from the annual cycle.

        Raises
        ------
        DiagnosticError
            If there are none.
        """
        departures = anomalies.departures
        if abs(departures).max() < _LEAST_WEATHER:
            raise DiagnosticError("The daily data are a smooth annual cycle without any weather.")
        return cls(Spread.of(departures, anomalies.month), autocorrelation(departures, LONGEST_LAG))

    def statistics(self) -> dict[str, Floats]:
        """Return the scalars that the diagnostic reports."""
        lag1 = self.correlations[1]
        memory = {"lag1_autocorrelation": lag1, "decorrelation_time": decorrelation_time(lag1)}
        return {**self.spread.deviations(), **memory, **self.spread.percentiles()}


@dataclass(frozen=True, slots=True)
class VariabilityUncertainty:
    """Confidence intervals of the variability of a record."""

    monthly_deviation: Interval
    """In K, shape (12,)."""
    correlations: Interval
    """Shape (21,)."""
    quantiles: Interval
    """In K, shape (quantiles,)."""
    statistics: dict[str, Interval]

    @classmethod
    def of(cls, found: Variability, anomalies: Anomalies, bootstrap: Bootstrap) -> Self:
        """Estimate them from resamples that have lost an annual cycle of their own, as the record has."""
        noise = SeasonalNoise.of(anomalies)
        blocks = bootstrap.blocks(len(noise.residuals), block_length(noise.residuals, LEAST_BLOCK))
        replicates, correlations = _replicates(noise, blocks, anomalies.phase)
        spread, truth = found.spread, _truth(noise, found.spread.days)
        arsinh = Scale.arsinh(float(spread.deviation()))
        memory = _of_memory(found.correlations, correlations, noise.residuals)
        return cls(
            interval(
                spread.monthly_deviation(),
                replicates.monthly_deviation(),
                LOGARITHM,
                truth.monthly_deviation(),
            ),
            memory,
            interval(spread.quantiles, replicates.quantiles, arsinh, truth.quantiles),
            {
                **_each(spread.deviations(), replicates.deviations(), LOGARITHM, truth.deviations()),
                **_each(spread.percentiles(), replicates.percentiles(), arsinh, truth.percentiles()),
                "lag1_autocorrelation": Interval(memory.lower[1], memory.upper[1]),
                "decorrelation_time": Interval(
                    decorrelation_time(memory.lower[1]), decorrelation_time(memory.upper[1])
                ),
            },
        )


def _quantiles(departures: Floats) -> Floats:
    """Interpolate linearly, as numpy's quantile does, which takes longer for many quantiles at once."""
    ordered = np.sort(departures, axis=-1)
    position = PROBABILITIES * (departures.shape[-1] - 1)
    below = position.astype(np.int64)
    part = position - below
    return np.asarray(ordered[..., below] * (1 - part) + ordered[..., below + 1] * part, dtype=np.float64)


def _replicates(noise: SeasonalNoise, blocks: Blocks, phase: Floats) -> tuple[Spread, Floats]:
    """Return the spread of each resample, and its autocorrelations, shape (resamples, 21)."""
    spreads, correlations = [], []
    for resampled in noise.resampled(blocks):
        departures = resampled - annual_harmonics(resampled, phase)
        spreads.append(Spread.of(departures, noise.month))
        correlations.append(autocorrelation_within(departures, blocks.length, LONGEST_LAG))
    squares = np.concatenate([spread.squares for spread in spreads])
    quantiles = np.concatenate([spread.quantiles for spread in spreads])
    return Spread(squares, spreads[0].days, quantiles), np.concatenate(correlations)


def _truth(noise: SeasonalNoise, days: Integers) -> Spread:
    """Return the spread of what is resampled: any residual in any season."""
    return Spread(noise.scale**2 * days, days, _quantiles(np.outer(noise.scale, noise.residuals).ravel()))


def _of_memory(found: Floats, replicates: Floats, residuals: Floats) -> Interval:
    """Return the interval of autocorrelations; that at lag zero is one whatever the weather."""
    truth = circular_autocorrelation(residuals, LONGEST_LAG)
    later = interval(found[1:], replicates[:, 1:], ARTANH, truth[1:])
    return Interval(np.append(1.0, later.lower), np.append(1.0, later.upper))


def _each(
    found: dict[str, Floats], replicates: dict[str, Floats], scale: Scale, truth: dict[str, Floats]
) -> dict[str, Interval]:
    return {name: interval(found[name], replicates[name], scale, truth[name]) for name in found}

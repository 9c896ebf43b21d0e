"""The linear trend of annual means, with a significance that allows for autocorrelation."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import stdtr, stdtrit

from climate_ref_prefect.diagnostics.demo.calculations.autocorrelation import (
    autocorrelation,
    autocorrelation_within,
    circular_autocorrelation,
    effective_sample_size,
)
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap, block_length
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import ARTANH, CONFIDENCE, Interval, interval
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats, Integers

LEAST_YEARS = 10
LONGEST_LAG = LEAST_YEARS - 1
"""In years."""
RESAMPLED = ("lag1_autocorrelation", "effective_sample_size", "trend_bootstrap")
"""What the bootstrap gives an interval of."""
_LEAST_BLOCK = 5
"""In years, for the autocorrelation: most neighbours then stay neighbours, so that it can be estimated again."""
_DECADE = 10
_FITTED = 2
"""Parameters of a straight line, which the residuals have lost as degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Trend:
    """
    A straight line through annual means; everything per decade.

    What cannot be estimated is none: the line of a record that is too short, or the error of one
    whose residuals are so autocorrelated that hardly an independent year is left.
    """

    slope: float | None
    centre: float
    """Mean of the annual means in K, the height of the line at the mean year."""
    error: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    autocorrelation: float | None = None
    effective: float | None = None
    years: int = 0

    def statistics(self) -> dict[str, float | None]:
        """Return the scalars that the diagnostic reports."""
        return {
            "trend": self.slope,
            "trend_standard_error": self.error,
            "trend_lower": self.lower,
            "trend_upper": self.upper,
            "p_value": self.p_value,
            "lag1_autocorrelation": self.autocorrelation,
            "effective_sample_size": self.effective,
            "years_used": self.years,
        }

    def line(self, years: Integers) -> Floats | None:
        """Return the height of the line in K at each year."""
        if self.slope is None:
            return None
        return np.asarray(self.centre + self.slope * _decades(years), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class TrendUncertainty:
    """What a bootstrap says of a trend: a second opinion on its interval, and the intervals of what has none."""

    correlations: Floats
    """Autocorrelation of the residuals at lags of 0 to 9 years, shape (10,)."""
    slopes: Floats
    """Trends of the resamples in K per decade, shape (resamples,)."""
    line: Interval
    """In K at each year, shape (years,)."""
    statistics: dict[str, Interval]
    """Of each of `RESAMPLED`."""

    @classmethod
    def of(cls, years: Integers, means: Floats, trend: Trend, bootstrap: Bootstrap) -> Self | None:
        """Resample the residuals; none where the trend has no error, or years are missing."""
        line = trend.line(years)
        if line is None or trend.error is None or len(years) != years[-1] - years[0] + 1:
            return None
        residuals, decades = departures_from_line(means), _decades(years)
        changes, lines = _fitted(_resampled(residuals, bootstrap, block_length(residuals)), decades)
        slope = _slope(line, decades)
        return cls(
            correlations=autocorrelation(residuals, LONGEST_LAG),
            slopes=slope + changes,
            line=interval(line, line + lines),
            statistics={
                **_of_memory(residuals, decades, bootstrap),
                "trend_bootstrap": interval(slope, slope + changes),
            },
        )


def linear_trend(years: Integers, means: Floats) -> Trend:
    """
    Fit a line by least squares; its error counts only as many years as are independent.

    Santer et al. (2000), doi:10.1029/1999JD901105, equations 3 to 6: the effective sample size
    n (1 - r) / (1 + r), with r the lag-1 autocorrelation of the residuals, takes the place of n.
    Other than there, it is never taken to be more than n.

    Parameters
    ----------
    years
        Ascending, shape (years,).
    means
        Annual means in K, shape (years,).
    """
    count, centre = len(years), float(means.mean())
    if count < LEAST_YEARS:
        return Trend(slope=None, centre=centre, years=count)
    decades = _decades(years)
    slope = _slope(means - centre, decades)
    residuals = means - centre - slope * decades
    squares = float((residuals**2).sum())
    if squares == 0:
        return Trend(slope=slope, centre=centre, years=count)
    lag1 = float(autocorrelation(residuals, 1)[1])
    fitted = Trend(
        slope, centre, autocorrelation=lag1, effective=float(effective_sample_size(lag1, count)), years=count
    )
    return _with_error(fitted, slope, squares / float((decades**2).sum()))


def departures_from_line(values: Floats) -> Floats:
    """
    Return what is left of annual values without a straight line, for a trend is no noise.

    It is widened by as much as the line, which follows the noise, has narrowed it.

    Parameters
    ----------
    values
        One row for each of consecutive years, shape (years, ...), three at least.
    """
    count = len(values)
    times = (np.arange(count) - (count - 1) / 2).reshape(-1, *[1] * (values.ndim - 1))
    slope = (times * values).sum(axis=0) / (times**2).sum()
    departures = values - values.mean(axis=0) - times * slope
    return np.asarray(departures * np.sqrt(count / (count - _FITTED)), dtype=np.float64)


def _decades(years: Integers) -> Floats:
    return np.asarray((years - years.mean()) / _DECADE, dtype=np.float64)


def _slope(values: Floats, decades: Floats) -> float:
    return float((decades * values).sum()) / float((decades**2).sum())


def _with_error(trend: Trend, slope: float, variance: float) -> Trend:
    freedom = (trend.effective or 0) - _FITTED
    if freedom <= 0:
        return trend
    error = float(np.sqrt(variance / freedom))
    margin = error * float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    p_value = float(2 * stdtr(freedom, -abs(slope / error)))
    return replace(trend, error=error, lower=slope - margin, upper=slope + margin, p_value=p_value)


def _resampled(residuals: Floats, bootstrap: Bootstrap, length: int) -> Floats:
    """Return resamples of annual residuals in K, shape (resamples, years)."""
    return np.concatenate(list(bootstrap.blocks(len(residuals), length).resampled(residuals)))


def _fitted(resampled: Floats, decades: Floats) -> tuple[Floats, Floats]:
    """Return the slopes of lines through resamples, shape (resamples,), and their heights, shape (resamples, years)."""
    slopes = (resampled * decades).sum(axis=1) / (decades**2).sum()
    return slopes, resampled.mean(axis=1, keepdims=True) + slopes[:, np.newaxis] * decades


def _of_memory(residuals: Floats, decades: Floats, bootstrap: Bootstrap) -> dict[str, Interval]:
    """Return the intervals of the autocorrelation, and of the sample size that follows from it."""
    length, count = block_length(residuals, _LEAST_BLOCK), len(residuals)
    resampled = _resampled(residuals, bootstrap, length)
    replicates = autocorrelation_within(resampled - _fitted(resampled, decades)[1], length, 1)[:, 1]
    lag1, truth = autocorrelation(residuals, 1)[1], circular_autocorrelation(residuals, 1)[1]
    found = interval(lag1, replicates, ARTANH, truth)
    sizes = Interval(effective_sample_size(found.upper, count), effective_sample_size(found.lower, count))
    return {"lag1_autocorrelation": found, "effective_sample_size": sizes}

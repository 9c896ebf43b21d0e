"""Autocorrelation of a series, and the effective sample size and decorrelation time that follow from it."""

import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.safe_division import ratio
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats


def autocorrelation(values: Floats, longest: int) -> Floats:
    """
    Return the autocorrelation at lags from zero to `longest`, shape (longest + 1,); zero of what does not vary.

    The usual estimator, with the sum of all squares below (von Storch and Zwiers 1999, section 12.1).

    Parameters
    ----------
    values
        Without gaps in time and with zero mean, shape (time,).
    longest
        In steps of time.
    """
    squares = float((values**2).sum()) or 1.0
    size = len(values)
    return np.array([float((values[lag:] * values[: size - lag]).sum()) / squares for lag in range(longest + 1)])


def circular_autocorrelation(values: Floats, longest: int) -> Floats:
    """Return the autocorrelation at lags from zero of values whose last is followed by the first."""
    squares = float((values**2).sum()) or 1.0
    return np.array([float((values * np.roll(values, -lag)).sum()) / squares for lag in range(longest + 1)])


def autocorrelation_within(resampled: Floats, length: int, longest: int) -> Floats:
    """
    Return the autocorrelation of resamples from pairs within a block, for neighbours across a joint are strangers.

    Parameters
    ----------
    resampled
        Of zero mean, shape (resamples, time).
    length
        Of the blocks; more than `longest`.
    longest
        The longest lag.

    Returns
    -------
    At lags from zero, shape (resamples, longest + 1).
    """
    whole = resampled.shape[1] // length
    blocks = resampled[:, : whole * length].reshape(-1, whole, length)
    squares = np.einsum("rbt,rbt->rt", blocks, blocks).cumsum(axis=1)
    found = np.ones((len(resampled), longest + 1))
    for lag in range(1, longest + 1):
        products = np.einsum("rbt,rbt->r", blocks[:, :, :-lag], blocks[:, :, lag:])
        found[:, lag] = products / np.sqrt(squares[:, -1 - lag] * (squares[:, -1] - squares[:, lag - 1]))
    return found


def effective_sample_size(lag1: Floats | float, count: int) -> Floats:
    """Return how many independent values are worth as much as `count` of this autocorrelation, which is the most."""
    return np.asarray(np.minimum(count * (1 - lag1) / (1 + lag1), count), dtype=np.float64)


def decorrelation_time(lag1: Floats) -> Floats:
    """Return the decorrelation time of first-order autoregressive processes in steps of time; NaN where it is none."""
    return ratio(1 + lag1, 1 - lag1)

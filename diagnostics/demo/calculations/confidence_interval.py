"""Confidence intervals from bootstrap replicates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit, logit

from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

Numbers = Floats | float


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale on which an estimate varies about equally much, whatever it is; never decreasing."""

    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]

    @classmethod
    def arsinh(cls, width: float) -> Self:
        """Return a scale that is the logarithm far from zero, and linear within about half of the width."""
        return cls(lambda x: np.arcsinh(2 * x / width), lambda y: np.sinh(y) * width / 2)


LINEAR = Scale(np.positive, np.positive)
LOGARITHM = Scale(np.log, np.exp)
"""Of what is positive: amplitudes, standard deviations."""
ARTANH = Scale(np.arctanh, np.tanh)
"""Fisher's scale, of correlations."""
LOGIT = Scale(logit, expit)
"""Of shares between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval of one number or of an array of them; NaN where there is none."""

    lower: Floats
    upper: Floats

    @classmethod
    def unknown(cls, *shape: int) -> Self:
        """Return the interval of what cannot be said."""
        return cls(np.full(shape, np.nan), np.full(shape, np.nan))


def interval(estimate: Numbers, replicates: Floats, scale: Scale = LINEAR, truth: Numbers | None = None) -> Interval:
    """
    Return the basic bootstrap interval: by how much replicates miss the truth, the estimate may miss it.

    Davison and Hinkley (1997), Bootstrap Methods and their Application, section 5.2, with the scales that they and
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 12 and 13, recommend. Where noise makes
    replicates larger than the truth on average, the interval lies below the estimate by as much.

    Parameters
    ----------
    estimate
        Shape (...).
    replicates
        The same of each resample, shape (resamples, ...).
    scale
        On which errors are compared; the interval never leaves its range.
    truth
        What replicates estimate, where that is not the estimate itself, shape (...).

    Returns
    -------
    NaN where an estimate or a replicate is not a number, or on the edge of the scale's range.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scale.forward(np.asarray(estimate, dtype=np.float64))
        known = found if truth is None else scale.forward(np.asarray(truth, dtype=np.float64))
        low, high = np.quantile(scale.forward(replicates), _TAILS, axis=0)
        return Interval(*(scale.backward(_finite(found + known - end)) for end in (high, low)))


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def with_intervals(values: Mapping[str, Numbers | None], intervals: Mapping[str, Interval]) -> dict[str, float | None]:
    """Return values by name and the ends of intervals, `..._lower` and `..._upper`; none for what is not a number."""
    found = {name: _or_none(value) for name, value in values.items()}
    for name, ends in intervals.items():
        found |= {f"{name}_lower": _or_none(ends.lower), f"{name}_upper": _or_none(ends.upper)}
    return found


def _or_none(value: Numbers | None) -> float | None:
    if value is None or not np.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)

"""One model against the mean of all others: bias and the agreement of the annual cycles."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Self

import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import (
    ARTANH,
    LINEAR,
    LOGARITHM,
    Interval,
    interval,
)
from climate_ref_prefect.diagnostics.demo.calculations.safe_division import ratio
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Floats

_SCALES = {
    "bias": LINEAR,
    "bias_standardised": LINEAR,
    "centred_rmse": LOGARITHM,
    "correlation": ARTANH,
    "standard_deviation_ratio": LOGARITHM,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The annual cycle of a model, and those of the other models."""

    model: Floats
    """In K, shape (12,)."""
    others: Floats
    """In K, one row per model, shape (models, 12)."""

    @property
    def reference(self) -> Floats:
        """Mean of the other models in K, shape (12,)."""
        return np.asarray(self.others.mean(axis=0), dtype=np.float64)

    @property
    def spread(self) -> Floats:
        """Standard deviation among the other models in K, shape (12,)."""
        return np.asarray(self.others.std(axis=0, ddof=1), dtype=np.float64)

    @property
    def bias(self) -> Floats:
        """Model minus reference in K, shape (12,)."""
        return self.model - self.reference

    def statistics(self) -> dict[str, float]:
        """Return the scalars that the diagnostic reports; NaN where one cannot be."""
        among = self.others.mean(axis=1).std(ddof=1)
        found = {name: float(value) for name, value in compare(self.model, self.reference, among).items()}
        return {**found, "reference_models": len(self.others)}


@dataclass(frozen=True, slots=True)
class ComparisonUncertainty:
    """Confidence intervals of a comparison."""

    bias: Interval
    """In K, shape (12,)."""
    statistics: dict[str, Interval]

    @classmethod
    def of(cls, comparison: Comparison, resampled: Floats | None, bootstrap: Bootstrap) -> Self:
        """
        Estimate them, from other weather in the model and another choice of reference models.

        Models are resampled whole: the years of each have their share in how much models differ, and would be
        counted twice if they were resampled, too (Davison and Hinkley 1997, section 3.8).

        Parameters
        ----------
        comparison
            What the intervals are of.
        resampled
            The annual cycle of the model as it would be with other weather in K, shape (resamples, 12), if known.
        bootstrap
            Where to draw models from.
        """
        if resampled is None:
            return cls(Interval.unknown(MONTHS), {name: Interval.unknown() for name in _SCALES})
        changes, among = _other_choices(comparison.others, bootstrap)
        reference = comparison.reference + changes
        found, replicates = comparison.statistics(), compare(resampled, reference, among)
        statistics = {name: interval(found[name], replicates[name], scale) for name, scale in _SCALES.items()}
        return cls(interval(comparison.bias, resampled - reference), statistics)


def compare(model: Floats, reference: Floats, among: Floats | float) -> dict[str, Floats]:
    """
    Return the statistics of models against references, one number each.

    Centred difference, correlation and ratio of standard deviations are those that make a Taylor
    diagram: Taylor (2001), doi:10.1029/2000JD900719, equations 1 and 2, over the twelve months.

    Parameters
    ----------
    model, reference
        Annual cycles in K, shape (..., 12).
    among
        Standard deviation of the annual mean among the models of the reference in K, shape (...).
    """
    ours, theirs = (cycle - cycle.mean(axis=-1, keepdims=True) for cycle in (model, reference))
    deviation, expected = ours.std(axis=-1), theirs.std(axis=-1)
    bias = model.mean(axis=-1) - reference.mean(axis=-1)
    return {
        "bias": bias,
        "bias_standardised": ratio(bias, among),
        "centred_rmse": np.sqrt(((ours - theirs) ** 2).mean(axis=-1)),
        "correlation": ratio((ours * theirs).mean(axis=-1), deviation * expected),
        "standard_deviation_ratio": ratio(deviation, expected),
    }


def one_row_per_model(climatologies: list[tuple[str, Floats]]) -> Floats:
    """
    Average what belongs to the same model, so that each counts once, in the order of their names.

    Parameters
    ----------
    climatologies
        Name of the model and its annual cycle in K, shape (12,).

    Returns
    -------
    In K, shape (models, 12).
    """
    by_model: defaultdict[str, list[Floats]] = defaultdict(list)
    for model, climatology in climatologies:
        by_model[model].append(climatology)
    rows = [np.mean(by_model[model], axis=0) for model in sorted(by_model)]
    return np.array(rows, dtype=np.float64)


def _other_choices(others: Floats, bootstrap: Bootstrap) -> tuple[Floats, Floats]:
    """
    Choose as many models with replacement.

    Returns
    -------
    The change of their mean in K, shape (resamples, 12), and the standard deviation of the annual mean among them in
    K, shape (resamples,). Both are widened by as much as a mean that the models share has narrowed them.
    """
    count = len(others)
    departures = (others - others.mean(axis=0)) * np.sqrt(count / (count - 1))
    chosen = bootstrap.blocks(count, length=1)
    annual = np.concatenate([some.std(axis=1, ddof=1) for some in chosen.resampled(departures.mean(axis=1))])
    return chosen.means(departures), annual

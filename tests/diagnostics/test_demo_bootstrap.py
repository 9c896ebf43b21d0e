"""The bootstrap of the demo against the theory of noise, against scipy, and against the plainest way to resample."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from climate_ref_prefect.diagnostics.demo.calculations.autocorrelation import autocorrelation_within
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap, block_length
from climate_ref_prefect.diagnostics.demo.calculations.confidence_interval import (
    ARTANH,
    LINEAR,
    LOGARITHM,
    LOGIT,
    Interval,
    Scale,
    interval,
)
from climate_ref_prefect.diagnostics.demo.calculations.linear_trend import TrendUncertainty, linear_trend
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition

COVERAGE = (0.88, 0.99)
"""Of 300 intervals of 95 %: what chance and the known shortness of bootstrap intervals leave possible."""


def noise(count: int, lag1: float, seed: int) -> Floats:
    """First-order autoregressive noise of unit variance."""
    shocks = np.random.default_rng(seed).normal(0, np.sqrt(1 - lag1**2), count)
    values = np.empty(count)
    values[0] = shocks[0] / np.sqrt(1 - lag1**2)
    for time in range(1, count):
        values[time] = lag1 * values[time - 1] + shocks[time]
    return values


def definition(*names: str, root: str = "/data", fingerprint: str = "f") -> ExecutionDefinition:
    return ExecutionDefinition(
        provider="demo",
        provider_version="1",
        diagnostic="annual-cycle",
        diagnostic_version="1",
        key="key",
        selectors={},
        datasets=tuple(
            Dataset(instance_id=name, facets={}, files=(Path(root, name),), fingerprint=fingerprint) for name in names
        ),
    )


def width(found: Interval) -> float:
    return float(found.upper - found.lower)


@pytest.mark.parametrize(("size", "length"), [(12, 1), (12, 4), (13, 4), (7, 7)])
def test_resamples_are_made_of_blocks_that_go_on_at_the_beginning(size: int, length: int) -> None:
    blocks = Bootstrap.seeded("any", resamples=200).blocks(size, length)
    resamples = np.concatenate(list(blocks.resampled(np.arange(float(size)))))
    assert resamples.shape == (200, size)
    for begin in range(0, size, length):
        block = resamples[:, begin : begin + length]
        assert (block == (block[:, :1] + np.arange(block.shape[1])) % size).all()
    assert set(resamples[:, 0]) == set(range(size))


def test_many_columns_are_resampled_together() -> None:
    values = np.random.default_rng(1).normal(size=(9, 3))
    alone = [Bootstrap.seeded("any", 50).blocks(9, 2).means(values[:, column]) for column in range(3)]
    assert Bootstrap.seeded("any", 50).blocks(9, 2).means(values) == pytest.approx(np.array(alone).T)


def test_the_stream_follows_what_the_data_are_and_not_where_they_lie() -> None:
    def first(of: ExecutionDefinition) -> int:
        return int(Bootstrap.of(of).generator.integers(2**62))

    assert first(definition("a", "b")) == first(definition("a", "b", root="/elsewhere", fingerprint="g"))
    others = [definition("a"), definition("b", "a"), definition("ab"), definition("a", "c")]
    assert len({first(other) for other in [*others, definition("a", "b")]}) == 5
    assert first(definition("a")) != first(definition("a").model_copy(update={"diagnostic": "linear-trend"}))


def test_the_first_random_numbers_are_always_these() -> None:
    # From SHA-256 and PCG64; with others, what was computed before could not be computed again.
    assert Bootstrap.seeded("CanESM5").generator.integers(1000, size=4).tolist() == [486, 677, 371, 689]


@pytest.mark.parametrize(("lag1", "expected"), [(0.5, 14), (0.9, 52)])
def test_blocks_are_as_long_as_the_theory_of_autoregressive_noise_says(lag1: float, expected: int) -> None:
    # For n = 1000: 13.9 and 51.3, were the autocorrelation known.
    lengths = [block_length(noise(1000, lag1, seed)) for seed in range(30)]
    assert np.mean(lengths) == pytest.approx(expected, rel=0.1)


def test_blocks_of_noise_without_memory_are_single_values() -> None:
    assert block_length(np.array([1.0, -1.0] * 20)) == 1
    assert block_length(np.zeros(40)) == 1
    assert block_length(np.array([1.0, -1.0] * 20), at_least=5) == 5
    assert block_length(noise(30, 0.99, 1)) == 10


def test_the_interval_of_a_mean_is_that_of_scipy_and_of_student() -> None:
    values = np.random.default_rng(4).normal(5, 2, 200)
    ours = interval(values.mean(), Bootstrap.seeded("mean").blocks(200, 1).means(values))
    theirs = stats.bootstrap((values,), np.mean, method="basic", n_resamples=10_000, random_state=1).confidence_interval
    student = stats.t.interval(0.95, 199, values.mean(), values.std(ddof=1) / np.sqrt(200))
    for expected in (theirs, student):
        assert (ours.lower, ours.upper) == pytest.approx(tuple(expected), abs=0.04 * width(ours))


def test_the_interval_of_a_standard_deviation_is_near_that_of_chi_square() -> None:
    values = np.random.default_rng(5).normal(0, 3, 400)
    resamples = np.concatenate(list(Bootstrap.seeded("deviation").blocks(400, 1).resampled(values)))
    ours = interval(values.std(), resamples.std(axis=1), LOGARITHM)
    exact = values.std() * np.sqrt(400 / stats.chi2.ppf([0.975, 0.025], 399))
    assert (ours.lower, ours.upper) == pytest.approx(tuple(exact), abs=0.1 * width(ours))


def test_blocks_see_what_single_values_miss() -> None:
    # The variance of a mean of autoregressive noise is (1 + r) / (1 - r) / n, for many values.
    lag1, count = 0.6, 2000
    expected = 2 * 1.96 * np.sqrt((1 + lag1) / (1 - lag1) / count)
    found = []
    for seed in range(20):
        values = noise(count, lag1, seed)
        blocks = Bootstrap.seeded(f"{seed}", resamples=1000).blocks(count, block_length(values - values.mean()))
        found.append(width(interval(values.mean(), blocks.means(values))))
    assert np.mean(found) == pytest.approx(expected, rel=0.1)
    single = Bootstrap.seeded("single", resamples=1000).blocks(count, 1)
    assert width(interval(values.mean(), single.means(values))) < 0.6 * expected


@pytest.mark.parametrize("lag1", [0.0, 0.2])
def test_the_interval_of_a_trend_covers_it_about_as_often_as_it_says(lag1: float) -> None:
    years, covered = np.arange(1950, 2015), []
    for seed in range(300):
        means = 260 + 0.03 * (years - 1950) + noise(65, lag1, seed)
        found = TrendUncertainty.of(years, means, linear_trend(years, means), Bootstrap.seeded(f"{seed}", 1000))
        assert found is not None
        ends = found.statistics["trend_bootstrap"]
        covered.append(ends.lower <= 0.3 <= ends.upper)
    assert COVERAGE[0] < np.mean(covered) < COVERAGE[1]


def test_correlations_within_blocks_are_those_of_pairs_counted_by_hand() -> None:
    values = np.random.default_rng(6).normal(size=(3, 23))
    found = autocorrelation_within(values, length=5, longest=2)
    for row, correlations in zip(values, found, strict=True):
        for lag in (1, 2):
            pairs = [(row[at], row[at + lag]) for at in range(20) if at // 5 == (at + lag) // 5]
            before, after = np.array(pairs).T
            assert correlations[lag] == pytest.approx(
                (before * after).sum() / np.sqrt((before**2).sum() * (after**2).sum())
            )
    assert (found[:, 0] == 1).all()


@pytest.mark.parametrize(
    ("scale", "estimate"), [(LINEAR, -1.5), (LOGARITHM, 0.2), (ARTANH, 0.99), (LOGIT, 0.9), (Scale.arsinh(2.0), -3.0)]
)
def test_intervals_stay_within_the_range_of_their_scale(scale: Scale, estimate: float) -> None:
    errors = np.random.default_rng(7).normal(0, 2, 4000)
    replicates = scale.backward(scale.forward(np.array(estimate)) + errors)
    found = interval(estimate, replicates, scale)
    expected = scale.backward(scale.forward(np.array(estimate)) + np.array([-3.92, 3.92]))
    assert (found.lower, found.upper) == pytest.approx(tuple(expected), rel=0.25, abs=0.01)


def test_what_replicates_miss_on_average_is_taken_out() -> None:
    found = interval(1.0, np.random.default_rng(8).normal(1.5, 0.1, 4000))
    assert (found.lower, found.upper) == pytest.approx((0.304, 0.696), abs=0.02)
    of_another = interval(1.0, np.random.default_rng(8).normal(1.5, 0.1, 4000), truth=1.5)
    assert (of_another.lower, of_another.upper) == pytest.approx((0.804, 1.196), abs=0.02)


def test_estimates_on_the_edge_of_a_range_have_no_interval() -> None:
    for found in (interval(0.0, np.ones(9), LOGARITHM), interval(0.5, np.array([0.5, np.nan]), ARTANH)):
        assert np.isnan(found.lower)
        assert np.isnan(found.upper)


def test_resamples_of_a_long_record_are_not_held_all_at_once() -> None:
    values = noise(1096, 0.8, 1)
    tracemalloc.start()
    try:
        Bootstrap.seeded("long").blocks(1096, 40).means(values)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000 * values.nbytes / 5

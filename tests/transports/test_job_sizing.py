"""From hints to jobs."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.fair_shares import shares
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize, Node, Queue, Sizing
from climate_ref_prefect.transports.port import ResourcesRefusedError

NORMAL = Queue(name="normal", memory_mb=8000, cpu=4, wall_clock=timedelta(hours=4))
BIG = Queue(name="large", tags=frozenset({"bigmem"}), memory_mb=64_000, cpu=16, wall_clock=timedelta(hours=12))
GPU = Queue(name="gpu", tags=frozenset({"gpu"}), only_tagged=True)
SITE = Sizing(queues=(NORMAL, BIG, GPU), headroom_mb=256, walltime_margin=timedelta(minutes=5))


def hint(memory_mb: int = 1000, hours: float = 1.0, **more: Any) -> ResourceHint:
    return ResourceHint(memory_mb=memory_mb, wall_clock=timedelta(hours=hours), **more)


def test_a_job_has_room_for_the_execution_and_its_worker() -> None:
    size = SITE.size(hint(memory_mb=1000, hours=1, cpu=3))
    assert size == JobSize(cpu=3, memory_mb=1280, walltime_seconds=80 * 60, queue="normal")


def test_sizes_that_differ_little_share_a_bucket() -> None:
    assert len({SITE.size(hint(memory_mb=memory_mb)) for memory_mb in range(2049, 2561, 7)}) == 1


@given(st.integers(1, 60_000), st.floats(0.01, 11.0))
def test_a_job_is_never_smaller_than_what_runs_in_it_nor_much_larger(memory_mb: int, hours: float) -> None:
    asked = hint(memory_mb=memory_mb, hours=hours)
    size = SITE.size(asked)
    assert memory_mb + 256 <= size.memory_mb <= 1.25 * memory_mb + 256 + 1
    exact = asked.wall_clock_seconds + 300
    assert exact <= size.walltime_seconds <= 1.25 * (exact + 60) + 60


def test_a_bucket_never_passes_the_limit_of_its_queue() -> None:
    assert SITE.size(hint(memory_mb=7700)).memory_mb == 8000


def test_what_is_too_large_for_one_queue_goes_to_one_that_fits() -> None:
    assert SITE.size(hint(memory_mb=7900)).queue == "large"
    assert SITE.size(hint(hours=4)).queue == "large"


def test_a_tag_means_the_queue_that_has_it() -> None:
    assert SITE.size(hint(queue="bigmem")).queue == "large"
    assert SITE.size(hint(queue="gpu")).queue == "gpu"


def test_what_fits_nowhere_is_refused_with_what_each_queue_allows() -> None:
    with pytest.raises(ResourcesRefusedError) as refused:
        SITE.size(hint(memory_mb=64_000))
    assert "64256 MiB" in str(refused.value)
    assert "normal allows 8000 MiB; large allows 64000 MiB" in str(refused.value)
    assert "gpu" not in str(refused.value)


def test_an_unknown_tag_is_refused_with_those_there_are() -> None:
    with pytest.raises(ResourcesRefusedError, match=r"'bigmen'.*: bigmem, gpu"):
        SITE.size(hint(queue="bigmen"))


def test_without_queues_everything_goes_to_the_default() -> None:
    assert Sizing().size(hint(memory_mb=1_000_000)).queue is None
    with pytest.raises(ResourcesRefusedError, match="none"):
        Sizing().size(hint(queue="bigmem"))


def test_a_whole_node_is_shared_by_slots() -> None:
    size = Sizing(slots_per_job=4, headroom_mb=96).size(hint(memory_mb=1000, cpu=2))
    assert (size.cpu, size.memory_mb) == (8, 4192)


def test_short_executions_share_jobs_that_last() -> None:
    sizing = Sizing(least_walltime=timedelta(hours=2))
    assert {sizing.size(hint(hours=hours)).walltime_seconds for hours in (0.1, 0.5, 1)} == {128 * 60}


def test_negative_times_are_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be negative"):
        Sizing(walltime_margin=timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("size", "label"),
    [
        (JobSize(cpu=4, memory_mb=16384, walltime_seconds=7200, queue=None), "4c-16G-2h"),
        (JobSize(cpu=1, memory_mb=640, walltime_seconds=600, queue="short"), "1c-0.62G-0.17h-short"),
    ],
)
def test_sizes_have_names_for_people(size: JobSize, label: str) -> None:
    assert size.label == label


SIZES = st.builds(
    JobSize,
    cpu=st.integers(1, 8),
    memory_mb=st.integers(1, 4),
    walltime_seconds=st.just(60),
    queue=st.none(),
)


class TestShares:
    """Who gets how many of the jobs that may be had."""

    @given(st.dictionaries(SIZES, st.integers(0, 20), max_size=6), st.integers(1, 30))
    def test_no_more_than_the_limit_nor_than_is_wanted_and_nothing_left_over(
        self, demand: dict[JobSize, int], limit: int
    ) -> None:
        given_out = shares(demand, limit)
        assert sum(given_out.values()) == min(limit, sum(demand.values()))
        assert all(given_out[size] <= demand[size] for size in demand)

    @given(st.dictionaries(SIZES, st.integers(1, 20), min_size=1, max_size=6), st.integers(6, 30))
    def test_none_is_starved(self, demand: dict[JobSize, int], limit: int) -> None:
        assert min(shares(demand, limit).values()) >= 1

    def test_the_size_that_has_waited_longest_comes_first(self) -> None:
        first, second = (
            JobSize(cpu=1, memory_mb=1, walltime_seconds=1, queue=None),
            JobSize(cpu=2, memory_mb=1, walltime_seconds=1, queue=None),
        )
        assert shares({first: 5, second: 5}, 3) == {first: 2, second: 1}


class TestSharedNodes:
    """Where jobs have one size for executions of all sizes."""

    SHARED = Sizing(node=Node(cpu=8, memory_mb=15_900), headroom_mb=500)

    def test_jobs_are_of_that_size_whatever_runs_in_them(self) -> None:
        sizes = {self.SHARED.size(hint(memory_mb=memory_mb, cpu=cpu)) for memory_mb, cpu in ((1, 1), (15_400, 8))}
        assert [(size.cpu, size.memory_mb) for size in sizes] == [(8, 15_900)]

    def test_what_is_larger_gets_a_job_of_its_own(self) -> None:
        assert self.SHARED.size(hint(memory_mb=15_401)).memory_mb == 16_384 + 500
        assert self.SHARED.size(hint(cpu=9)).cpu == 9

    def test_there_is_room_for_an_execution_on_each_processor(self) -> None:
        assert self.SHARED.most_per_job == 8

    @pytest.mark.parametrize("options", [{"slots_per_job": 2}, {"headroom_mb": 15_900}])
    def test_what_contradicts_it_is_refused(self, options: dict[str, int]) -> None:
        with pytest.raises(ValidationError, match="node must have more memory"):
            Sizing(node=self.SHARED.node, **options)


def test_a_round_hint_is_not_rounded_for_the_worker_beside_it() -> None:
    assert SITE.size(hint(memory_mb=2048)).memory_mb == 2048 + 256

"""Invariants of the pool under random faults, and how few jobs are submitted in vain without faults."""

import random
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.transitions import CANCEL_RETRY_SECONDS
from climate_ref_prefect.transports.batch.pool.transitions_after_poll import CANCEL_PAUSE_SECONDS
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.transports.pool.making import OTHER_SIZE, execution
from tests.transports.pool.simulation import Cluster

FAULTS = (
    "limit",
    "answer lost",
    "never taken",
    "withdrawn by hand",
    "node fails at the start",
    "node fails",
    "node is lost to the scheduler",
    "requeue",
    "requeue elsewhere",
    "cut off",
    "scancel fails",
    "squeue fails",
)
PATIENT = timedelta(days=30)


def mixed(number: int, seed: int, sizes: list[JobSize]) -> list[Execution]:
    chance = random.Random(seed)
    return [
        execution(cpu=size.cpu, memory_mb=size.memory_mb - 100, size=size)
        for size in (chance.choice(sizes) for _ in range(number))
    ]


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.dictionaries(st.sampled_from(FAULTS), st.floats(0.05, 0.3), max_size=4),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_everything_ends_once_and_nothing_is_leaked(
    seed: int, faults: dict[str, float], max_jobs: int, cancelled: int
) -> None:
    chance = random.Random(seed)
    rules = PoolLimits(max_jobs=max_jobs, idle_seconds=5, poll_seconds=2, scheduler_patience=PATIENT)
    executions = mixed(12, seed, [OTHER_SIZE, OTHER_SIZE.model_copy(update={"queue": "short"})])
    cluster = Cluster(6, rules, lambda one: chance.uniform(0, 30), faults, seed)
    for one in executions[:cancelled]:
        cluster._later(chance.uniform(0, 30), lambda directory=one.directory: cluster.cancel(directory))  # type: ignore[misc]
    cluster.run(executions, at_once=8)
    reported = [end.submission.directory for end in cluster.reports]
    assert sorted(reported) == sorted(one.directory for one in executions)
    cluster.settle(1200)
    assert all(job.over for job in cluster.jobs.values()), "a job is left"
    assert not cluster.state.jobs
    least_pause = CANCEL_RETRY_SECONDS if "scancel fails" in faults else CANCEL_PAUSE_SECONDS
    for job in cluster.jobs.values():
        assert all(later - earlier >= least_pause for earlier, later in pairwise(job.told_to_end))


def wasted(cluster: Cluster) -> float:
    jobs = cluster.jobs.values()
    return sum(bool(job.told_to_end) and not job.ever_connected for job in jobs) / len(jobs)


@pytest.mark.parametrize(("seed", "idle_seconds"), [(0, 0), (1, 5), (2, 60)])
def test_few_jobs_are_cancelled_before_they_start(seed: int, idle_seconds: int) -> None:
    chance = random.Random(seed)
    rules = PoolLimits(max_jobs=20, idle_seconds=idle_seconds, poll_seconds=1, executions_per_job=2)
    sizes = [JobSize(cpu=cpu, memory_mb=600, walltime_seconds=3600, queue=None) for cpu in (1, 2, 4)]
    executions = mixed(400, seed, sizes)
    seconds: dict[Path, float] = {one.directory: chance.uniform(5, 30) for one in executions}
    cluster = Cluster(16, rules, lambda one: seconds[one.directory], seed=seed)
    cluster.run(executions, at_once=40)
    assert len(cluster.jobs) >= 200
    assert wasted(cluster) < 0.05
    bound = sum(one.resources.cpu * seconds[one.directory] for one in executions) / 16
    assert cluster.now < 1.2 * bound

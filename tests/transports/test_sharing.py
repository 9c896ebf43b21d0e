"""Which execution a job is given, and how many jobs are of use."""

import itertools
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.batch.jobs import Execution, Job, Stage, demand, next_for
from climate_ref_prefect.transports.batch.sizing import JobSize
from climate_ref_prefect.transports.packing import OVERTAKEN_AT_MOST
from climate_ref_prefect.transports.port import Submission

NODE = JobSize(cpu=8, memory_mb=1100, walltime_seconds=3600, queue=None)
HEADROOM_MB = 100
numbers = itertools.count()


def execution(cpu: int = 1, memory_mb: int = 100, seconds: float = 60.0, size: JobSize = NODE) -> Execution:
    resources = ResourceHint(cpu=cpu, memory_mb=memory_mb, wall_clock=timedelta(seconds=seconds))
    submission = Submission(transport="slurm", directory=Path(f"/executions/{next(numbers)}"))
    return Execution(submission, size, resources, since=float(next(numbers)))


def job(*running: Execution, ends_at: float = 3600.0, size: JobSize = NODE) -> Job:
    made = Job(name=f"job-{next(numbers)}", size=size, idle_since=0.0, stage=Stage.READY, ends_at=ends_at)
    for one in running:
        put(one, made)
    return made


def put(one: Execution, into: Job) -> None:
    one.job = into
    into.running[one.directory] = one


def choose(one: Job, *waiting: Execution, now: float = 0.0) -> Execution | None:
    return next_for(one, waiting, HEADROOM_MB, now)


def test_the_first_that_fits_is_next() -> None:
    first, second = execution(), execution()
    assert choose(job(), first, second) is first


@pytest.mark.parametrize("large", [execution(cpu=7), execution(memory_mb=901)])
def test_one_that_does_not_fit_beside_what_runs_is_overtaken(large: Execution) -> None:
    small = execution()
    assert choose(job(execution(cpu=2)), large, small) is small
    assert choose(job(execution(cpu=2)), large) is None


def test_memory_is_kept_for_the_worker() -> None:
    assert choose(job(), execution(memory_mb=1001)) is None
    assert choose(job(), execution(memory_mb=1000)) is not None


def test_nothing_begins_that_would_outlast_its_job() -> None:
    long, short = execution(seconds=100), execution(seconds=50)
    assert choose(job(ends_at=80), long, short) is short
    assert long.overtaken == 0


def test_a_job_is_kept_for_what_was_overtaken_for_long() -> None:
    large, busy, other = execution(cpu=8), job(execution()), job(execution())
    for _ in range(OVERTAKEN_AT_MOST):
        assert choose(busy, large, execution()) is not None
    assert choose(busy, large, execution()) is None
    assert choose(other, large, small := execution()) is small
    busy.running.clear()
    assert choose(busy, large, execution()) is large


def test_another_job_is_kept_when_the_first_goes() -> None:
    large, busy, other = execution(cpu=8), job(execution()), job(execution())
    large.overtaken, large.kept = OVERTAKEN_AT_MOST, busy
    busy.stage = Stage.LOST
    assert choose(other, large, execution()) is None


executions = st.lists(st.builds(execution, st.integers(1, 8), st.integers(1, 1000)), min_size=1, max_size=30)


@given(executions)
def test_a_job_never_runs_more_than_it_has_room_for_and_everything_is_run(waiting: list[Execution]) -> None:
    nodes = [job(), job()]
    while waiting or any(node.running for node in nodes):
        for node in nodes:
            while found := next_for(node, waiting, HEADROOM_MB, now=0.0):
                waiting.remove(found)
                put(found, node)
            assert sum(one.resources.cpu for one in node.running.values()) <= NODE.cpu
            assert sum(one.resources.memory_mb for one in node.running.values()) <= NODE.memory_mb - HEADROOM_MB
        assert any(node.running for node in nodes)
        node = max(nodes, key=lambda node: len(node.running))
        del node.running[next(iter(node.running))]


def test_a_job_for_each_execution_of_its_size_is_of_use() -> None:
    own = JobSize(cpu=2, memory_mb=600, walltime_seconds=3600, queue=None)
    waiting = [execution(cpu=2, memory_mb=450, size=own) for _ in range(3)]
    assert demand([waiting], [], HEADROOM_MB) == {own: 3}


def test_what_runs_counts_where_it_runs() -> None:
    waiting = [execution(cpu=8)]
    assert demand([waiting], [job(execution(cpu=8)), job()], HEADROOM_MB) == {NODE: 2}


def test_as_many_shared_jobs_are_of_use_as_are_filled() -> None:
    assert demand([[execution() for _ in range(17)]], [], HEADROOM_MB) == {NODE: 3}
    assert demand([[execution(memory_mb=400) for _ in range(5)]], [], HEADROOM_MB) == {NODE: 2}
    assert demand([[execution(memory_mb=501) for _ in range(5)]], [], HEADROOM_MB) == {NODE: 5}


@given(executions)
def test_jobs_of_use_are_never_more_than_executions(waiting: list[Execution]) -> None:
    (jobs,) = demand([waiting], [], HEADROOM_MB).values()
    assert 1 <= jobs <= len(waiting)

"""The scenes that are planned: jobs that run, wait and idle, of one size and of many, and executions of mixed sizes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.planning import plan
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.port import Submission
from climate_ref_prefect.transports.resource_packing import Packing

JOBS: Final = 2000
_NOW: Final = 10_000.0
_HEADROOM_MB: Final = 256
_PLACES: Final = 4
"""Executions that a job has room for."""
_SIZES: Final = 16
Scene = Callable[[], object]


@cache
def _size(number: int) -> JobSize:
    return JobSize(cpu=_PLACES, memory_mb=4 * 1024 + _HEADROOM_MB + number, walltime_seconds=7200, queue=None)


def _execution(number: int, size: JobSize, cpu: int = 1) -> Execution:
    directory = Path(f"/scratch/provider/diagnostic/{number}")
    hint = ResourceHint(cpu=cpu, memory_mb=1024, wall_clock=timedelta(hours=1))
    return Execution(Submission(transport="slurm", directory=directory), size, hint, submitted_at=_NOW - number)


def _job(number: int, size: JobSize, state: JobState, running: int = 0) -> Job:
    held = [_execution(_PLACES * number + place, size) for place in range(running)]
    return Job(
        name=f"job-{number}",
        size=size,
        scheduler="SLURM",
        submitted_at=_NOW - 100,
        state=state,
        job_id=str(number),
        connected_at=_NOW - 50,
        ends_at=_NOW + 7000,
        executions={one.directory: one.resources for one in held},
        given=running,
        idle_since=_NOW - 1,
    )


def _planned(jobs: Sequence[Job], waiting: Sequence[Execution]) -> Scene:
    by_size: dict[JobSize, list[Execution]] = {}
    for one in waiting:
        by_size.setdefault(one.size, []).append(one)
    limits = Limits(PoolLimits(max_jobs=len(jobs) + 10), _HEADROOM_MB)
    return lambda: plan(jobs, by_size, limits, _NOW)


def _all_busy(number: int) -> Scene:
    """Every job runs as many executions as it has room for, and as many wait as there are jobs."""
    jobs = [_job(index, _size(0), JobState.READY, running=_PLACES) for index in range(number)]
    return _planned(jobs, [_execution(10**6 + index, _size(0)) for index in range(number)])


def _all_queued(number: int) -> Scene:
    """Every job waits in the queue, and four executions for each."""
    jobs = [_job(index, _size(0), JobState.QUEUED) for index in range(number)]
    return _planned(jobs, [_execution(10**6 + index, _size(0)) for index in range(_PLACES * number)])


def _all_idle(number: int) -> Scene:
    """Every job has just become ready, and is filled in one tick."""
    jobs = [_job(index, _size(0), JobState.READY) for index in range(number)]
    return _planned(jobs, [_execution(10**6 + index, _size(0)) for index in range(_PLACES * number)])


def _many_sizes(number: int) -> Scene:
    """Jobs of many sizes, a third each running, idle and queued, and executions of all sizes wait."""
    states = [(JobState.READY, _PLACES), (JobState.READY, 0), (JobState.QUEUED, 0)]
    jobs = [_job(index, _size(index % _SIZES), *states[index % len(states)]) for index in range(number)]
    return _planned(jobs, [_execution(10**6 + index, _size(index % _SIZES)) for index in range(number)])


def _no_room(number: int) -> Scene:
    """Every job has one free processor, and what waits needs more."""
    jobs = [_job(index, _size(0), JobState.READY, running=_PLACES - 1) for index in range(number)]
    return _planned(jobs, [_execution(10**6 + index, _size(0), cpu=2) for index in range(number)])


def _wanted_elsewhere(number: int) -> Scene:
    """Idle jobs of sizes that nothing waits for, all places taken, and other sizes wait."""
    jobs = [_job(index, _size(index % _SIZES), JobState.READY) for index in range(number)]
    limits = Limits(PoolLimits(max_jobs=len(jobs)), _HEADROOM_MB)
    waiting = {_size(index): [_execution(10**6 + index, _size(index))] for index in range(_SIZES, 2 * _SIZES)}
    return lambda: plan(jobs, waiting, limits, _NOW)


def _packing(number: int) -> Scene:
    """Fill a machine item by item that has room for half of them, and empty it again."""
    hint = ResourceHint(cpu=1, memory_mb=10)

    def fill_and_empty() -> None:
        packing: Packing[int] = Packing(cpu=number // 2, memory_mb=10**9)
        for item in range(number):
            packing.add(item, hint)
            packing.admit()
        for item in range(number // 2):
            packing.release(item)
            packing.admit()

    return fill_and_empty


POOLS: Final[Mapping[str, Callable[[int], Scene]]] = {
    "all jobs are busy": _all_busy,
    "all jobs are in the queue": _all_queued,
    "all jobs are filled at once": _all_idle,
    "16 sizes, running, idle and in the queue": _many_sizes,
    "nothing fits into what is free": _no_room,
    "idle jobs of 16 sizes, 16 others wait": _wanted_elsewhere,
}
PACKINGS: Final[Mapping[str, Callable[[int], Scene]]] = {
    "packing: half of the items run at once": _packing,
}

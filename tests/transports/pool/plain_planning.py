"""What `WaitingExecutions`, `demand` and `shares` decide, written plainly: one execution, or one turn, at a time."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.waiting_executions import Choice
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.resource_packing import OVERTAKEN_AT_MOST


def next_for(job: Job, waiting: Iterable[Execution], jobs: Mapping[str, Job], headroom_mb: int, now: float) -> Choice:
    """
    Return the execution that a job gets next, and an execution that was skipped, with its changed counters.

    An execution that a job has time but no room for is skipped in favour of later ones a limited number of times.
    Then one job is reserved for it: that job takes nothing more until it has room for it.

    Parameters
    ----------
    job
        The job, which is ready.
    waiting
        Executions for jobs of its size, in the order of their submission.
    jobs
        All jobs by name, to see whether the one that is reserved for an execution is still there.
    headroom_mb
        Memory of the job that is reserved for its worker.
    now
        Seconds of the monotonic clock.

    Returns
    -------
    The chosen execution, or None; and the execution that was skipped, or for which the job is now reserved, as a
    value that replaces the earlier one; or None.
    """
    skipped: Execution | None = None
    for execution in waiting:
        if execution.resources.wall_clock_seconds > job.ends_at - now:
            continue
        asked = execution.resources
        if asked.cpu <= job.free_cpu and asked.memory_mb <= job.free_memory_mb(headroom_mb):
            again = skipped and dataclasses.replace(skipped, skipped=skipped.skipped + 1)
            return execution, again
        if execution.skipped >= OVERTAKEN_AT_MOST:
            reserved = jobs.get(execution.reserved_job)
            if reserved is None or reserved.state is not JobState.READY:
                return None, dataclasses.replace(execution, reserved_job=job.name)
            if reserved.name == job.name:
                return None, None
        skipped = skipped or execution
    return None, None


def plain_shares(demand: Mapping[JobSize, int], limit: int) -> dict[JobSize, int]:
    """Divide a limit of jobs among the sizes that can use some, in turns."""
    given = dict.fromkeys(demand, 0)
    while limit > 0 and (hungry := [size for size in demand if given[size] < demand[size]]):
        for size in hungry[:limit]:
            given[size] += 1
        limit -= min(limit, len(hungry))
    return given


def plain_demand(waiting: Iterable[Sequence[Execution]], jobs: Iterable[Job], headroom_mb: int) -> dict[JobSize, int]:
    """Return how many jobs of each size could be used. The size that has waited longest comes first."""
    hungry = sorted((executions for executions in waiting if executions), key=lambda one: one[0].submitted_at)
    wanted = {executions[0].size: [one.resources for one in executions] for executions in hungry}
    for job in jobs:
        if job.executions:
            wanted.setdefault(job.size, []).extend(job.executions.values())
    return {size: _plain_jobs_filled_by(asked, size, headroom_mb) for size, asked in wanted.items()}


def _plain_jobs_filled_by(asked: Sequence[ResourceHint], size: JobSize, headroom_mb: int) -> int:
    cpu, memory_mb = size.cpu, size.memory_mb - headroom_mb
    large = sum(1 for one in asked if 2 * one.cpu > cpu or 2 * one.memory_mb > memory_mb)
    return max(large, -(-sum(one.cpu for one in asked) // cpu), -(-sum(one.memory_mb for one in asked) // memory_mb))

"""Shares of the job limit: how many jobs of each size can be used, and how many each size may have."""

from collections.abc import Iterable, Mapping, Sequence

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize


def shares(demand: Mapping[JobSize, int], limit: int) -> dict[JobSize, int]:
    """
    Divide a limit of jobs among the sizes that can use some, in turns, so that none is starved.

    Parameters
    ----------
    demand
        How many jobs of each size could be used. The size that has waited longest comes first.
    limit
        The number of jobs that may exist in all.
    """
    given = dict.fromkeys(demand, 0)
    while limit > 0 and (hungry := [size for size in demand if given[size] < demand[size]]):
        # So many turns are the same: until a size has enough, or the limit does not suffice for one more turn.
        turns = min(limit // len(hungry), *(demand[size] - given[size] for size in hungry))
        for size in hungry if turns else hungry[:limit]:
            given[size] += max(turns, 1)
        limit -= turns * len(hungry) if turns else limit
    return given


def demand(waiting: Iterable[Sequence[Execution]], jobs: Iterable[Job], headroom_mb: int) -> dict[JobSize, int]:
    """
    Return how many jobs of each size could be used. The size that has waited longest comes first.

    Parameters
    ----------
    waiting
        Executions without a job, by size, in the order of their submission.
    jobs
        Jobs with their executions.
    headroom_mb
        Memory of each job that is reserved for its worker.
    """
    hungry = sorted((executions for executions in waiting if executions), key=lambda one: one[0].submitted_at)
    wanted = {executions[0].size: [one.resources for one in executions] for executions in hungry}
    for job in jobs:
        if job.executions:
            wanted.setdefault(job.size, []).extend(job.executions.values())
    return {size: jobs_filled_by(asked, size, headroom_mb) for size, asked in wanted.items()}


def jobs_filled_by(asked: Sequence[ResourceHint], size: JobSize, headroom_mb: int) -> int:
    """Return how many jobs some executions need at least. No two that need more than half of a job share one."""
    cpu, memory_mb = size.cpu, size.memory_mb - headroom_mb
    large = sum(1 for one in asked if 2 * one.cpu > cpu or 2 * one.memory_mb > memory_mb)
    return max(large, -(-sum(one.cpu for one in asked) // cpu), -(-sum(one.memory_mb for one in asked) // memory_mb))

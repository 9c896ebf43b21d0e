"""Shares of the job limit: how many jobs of each size can be used, and how many each size may have."""

from collections.abc import Iterable, Mapping

from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.batch.pool.waiting_executions import WaitingExecutions
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


class _Needs:
    """What some executions need together that run in jobs of one size."""

    def __init__(self, size: JobSize, headroom_mb: int) -> None:
        self._cpu, self._memory_mb = size.cpu, size.memory_mb - headroom_mb
        self._asked_cpu = self._asked_memory_mb = self._large = 0

    def add(self, cpu: int, memory_mb: int, number: int = 1) -> None:
        """Add executions that ask for the same."""
        self._asked_cpu += number * cpu
        self._asked_memory_mb += number * memory_mb
        self._large += number * self._is_large(cpu, memory_mb)

    def add_those_of(self, job: Job) -> None:
        """Add the executions of a job."""
        self._asked_cpu += job.used_cpu
        self._asked_memory_mb += job.used_memory_mb
        if self._is_large(job.most_cpu, job.most_memory_mb):
            self._large += sum(self._is_large(one.cpu, one.memory_mb) for one in job.executions.values())

    @property
    def jobs(self) -> int:
        """How many jobs they need at least. No two that need more than half of a job share one."""
        return max(self._large, -(-self._asked_cpu // self._cpu), -(-self._asked_memory_mb // self._memory_mb))

    def _is_large(self, cpu: int, memory_mb: int) -> bool:
        return 2 * cpu > self._cpu or 2 * memory_mb > self._memory_mb


def demand(waiting: Mapping[JobSize, WaitingExecutions], jobs: Iterable[Job], headroom_mb: int) -> dict[JobSize, int]:
    """
    Return how many jobs of each size could be used. The size that has waited longest comes first.

    Parameters
    ----------
    waiting
        Executions without a job.
    jobs
        Jobs with their executions.
    headroom_mb
        Memory of each job that is reserved for its worker.
    """
    first = {size: one.submitted_at for size, executions in waiting.items() if (one := executions.first) is not None}
    needs = {size: _needs_of(waiting[size], size, headroom_mb) for size in sorted(first, key=first.__getitem__)}
    for job in jobs:
        if job.executions:
            if job.size not in needs:
                needs[job.size] = _Needs(job.size, headroom_mb)
            needs[job.size].add_those_of(job)
    return {size: one.jobs for size, one in needs.items()}


def jobs_filled_by(waiting: WaitingExecutions, size: JobSize, headroom_mb: int) -> int:
    """Return how many jobs of a size some executions need at least."""
    return _needs_of(waiting, size, headroom_mb).jobs


def _needs_of(waiting: WaitingExecutions, size: JobSize, headroom_mb: int) -> _Needs:
    needs = _Needs(size, headroom_mb)
    for request, number in waiting.requests():
        needs.add(request.cpu, request.memory_mb, number)
    return needs

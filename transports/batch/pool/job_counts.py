"""Look at the jobs of a pool by their size or in another order, in one pass over all of them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize


def count_by_size(jobs: Iterable[Job]) -> dict[JobSize, int]:
    """Return how many jobs there are of each size."""
    counts: dict[JobSize, int] = {}
    sizes = [job.size for job in jobs]
    objects = {id(size): size for size in sizes}  # Most jobs have the same object: it is asked for its hash once.
    for identity, number in Counter(map(id, sizes)).items():
        size = objects[identity]
        counts[size] = counts.get(size, 0) + number
    return counts


def beginning_with(jobs: Sequence[Job], name: str) -> list[Job]:
    """Return the jobs from the one of that name on, followed by those before it; as they are without such a job."""
    start = next((position for position, job in enumerate(jobs) if job.name == name), 0) if name else 0
    return [*jobs[start:], *jobs[:start]]


def ready_by_size(jobs: Iterable[Job]) -> dict[JobSize, list[Job]]:
    """Return the jobs of each size that take executions."""
    ready: dict[JobSize, list[Job]] = {}
    for job in jobs:
        if job.state is JobState.READY:
            ready.setdefault(job.size, []).append(job)
    return ready


def oldest_in_queue(jobs: Iterable[Job]) -> dict[JobSize, float]:
    """Return for each size when the job was submitted that has waited in the queue for longest."""
    oldest: dict[JobSize, float] = {}
    for job in jobs:
        if job.state is JobState.QUEUED:
            oldest[job.size] = min(job.submitted_at, oldest.get(job.size, math.inf))
    return oldest


def needs_no_more(one: JobSize, other: JobSize) -> bool:
    """Return whether one size waits in the queue of the other and no longer: a larger one tells nothing of it."""
    return one.queue == other.queue and all(
        asked <= others
        for asked, others in (
            (one.cpu, other.cpu),
            (one.memory_mb, other.memory_mb),
            (one.walltime_seconds, other.walltime_seconds),
        )
    )

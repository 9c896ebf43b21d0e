"""The jobs and executions of a pool, and who gets which share of the jobs that may be had."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.transports.port import Death, Submission
from climate_ref_prefect.transports.scheduler import JobRecord
from climate_ref_prefect.transports.sizing import JobSize


class Stage(StrEnum):
    """Where a job is, as the pool sees it."""

    SUBMITTING = "submitting"
    QUEUED = "queued"
    READY = "ready"
    """Its worker is connected."""
    LEAVING = "leaving"
    """Told to end, with nothing running in it."""
    LOST = "lost"
    """Its worker is not connected any more; what ran in it may still run."""
    OVER = "over"
    """No process of it is left."""


@dataclass(eq=False)
class Execution:
    """An execution that was submitted and has not ended."""

    submission: Submission
    size: JobSize
    wall_clock_seconds: float
    since: float
    """When it was submitted, by the monotonic clock."""
    job: "Job | None" = None
    cancelled_at: float | None = None
    pulse: int = -1
    """Number of its last telemetry."""
    pulse_at: float = field(default_factory=time.monotonic)
    """When that was seen to change."""
    last_word: ExecutionOutcome | None = None
    """What its worker said of an end that the end of its job may explain."""
    last_word_at: float = 0.0

    @property
    def directory(self) -> Path:
        """What identifies it."""
        return self.submission.directory

    def is_left_by_its_job(self, now: float, patience_seconds: float) -> bool:
        """Whether its worker told a while ago that it went with its job, and that is still there."""
        told = self.last_word is not None and now - self.last_word_at > patience_seconds
        return told and self.job is not None and self.job.stage is Stage.READY


@dataclass(eq=False)
class Job:
    """A batch job with a pilot in it."""

    name: str
    size: JobSize
    idle_since: float
    """Since when nobody has needed it, by the monotonic clock."""
    stage: Stage = Stage.SUBMITTING
    job_id: str = ""
    address: str = ""
    """Of its worker."""
    ends_at: float = math.inf
    """When its walltime is over, by the monotonic clock."""
    running: dict[Path, Execution] = field(default_factory=dict)
    executions: int = 0
    """How many it has been given."""
    spent: bool = False
    """Whether it takes nothing more."""
    cancelled: bool = False
    """Whether the scheduler was asked to end it."""
    record: JobRecord | None = None
    """What the scheduler said last."""
    unknown: int = 0
    """How many times in a row the scheduler knew nothing of it."""
    submitted: float = field(default_factory=time.monotonic)
    reported: bool = False
    """Whether it was reported that it waits for long."""


class Crew(Protocol):
    """Who is told what comes of jobs."""

    def bar(self, size: JobSize, death: Death) -> None:
        """No job of this size can be had: whatever waits for one ends so."""
        ...

    def is_quiet(self, job: Job) -> bool:
        """Whether nothing in a job has given a sign of life for a while."""
        ...

    def look_after(self, job: Job) -> None:
        """See to what runs in a job that is lost or over; called again until it is over."""
        ...


def shares(demand: Mapping[JobSize, int], limit: int) -> dict[JobSize, int]:
    """
    Divide a limit of jobs among the sizes that want some: in turns, so that none is starved.

    Parameters
    ----------
    demand
        How many jobs of each size would be of use; who has waited longest comes first.
    limit
        How many there may be in all.
    """
    given = dict.fromkeys(demand, 0)
    while limit > 0 and (hungry := [size for size in demand if given[size] < demand[size]]):
        for size in hungry[:limit]:
            given[size] += 1
        limit -= min(limit, len(hungry))
    return given


def count_by_size(jobs: Iterable[Job]) -> dict[JobSize, int]:
    """Return how many jobs there are of each size."""
    counts: dict[JobSize, int] = {}
    for job in jobs:
        counts[job.size] = counts.get(job.size, 0) + 1
    return counts


def demand(waiting: Iterable[Sequence[Execution]], jobs: Iterable[Job], slots_per_job: int) -> dict[JobSize, int]:
    """Return how many jobs of each size would be of use; those that have waited longest come first."""
    hungry = sorted((executions for executions in waiting if executions), key=lambda executions: executions[0].since)
    wanted = {executions[0].size: len(executions) for executions in hungry}
    for job in jobs:
        if job.running:
            wanted[job.size] = wanted.get(job.size, 0) + len(job.running)
    return {size: -(-number // slots_per_job) for size, number in wanted.items()}

"""The jobs and executions of a pool, and who gets which share of the jobs that may be had."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.batch.scheduler import JobRecord
from climate_ref_prefect.transports.batch.sizing import JobSize
from climate_ref_prefect.transports.packing import OVERTAKEN_AT_MOST
from climate_ref_prefect.transports.port import Death, Submission


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
    resources: ResourceHint
    since: float
    """When it was submitted, by the monotonic clock."""
    job: "Job | None" = None
    overtaken: int = 0
    """How many later ones a job has taken that had no room for it."""
    kept: "Job | None" = None
    """The job that takes nothing more until it has room for it."""
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

    @property
    def is_to_start(self) -> bool:
        """Whether its worker is yet to come."""
        return self.stage in (Stage.SUBMITTING, Stage.QUEUED) and not self.cancelled

    @property
    def free_cpu(self) -> int:
        """Processors that no execution has."""
        return self.size.cpu - sum(execution.resources.cpu for execution in self.running.values())

    def has_room_for(self, execution: Execution, headroom_mb: int) -> bool:
        """Whether an execution fits beside what runs in it and the memory that is not for executions."""
        used_mb = headroom_mb + sum(other.resources.memory_mb for other in self.running.values())
        fits = used_mb + execution.resources.memory_mb <= self.size.memory_mb
        return fits and execution.resources.cpu <= self.free_cpu


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


def demand(waiting: Iterable[Sequence[Execution]], jobs: Iterable[Job], headroom_mb: int) -> dict[JobSize, int]:
    """Return how many jobs of each size would be of use; those that have waited longest come first."""
    hungry = sorted((executions for executions in waiting if executions), key=lambda executions: executions[0].since)
    wanted = {executions[0].size: list(executions) for executions in hungry}
    for job in jobs:
        if job.running:
            wanted.setdefault(job.size, []).extend(job.running.values())
    return {size: _filled_by(executions, size.cpu, size.memory_mb - headroom_mb) for size, executions in wanted.items()}


def _filled_by(executions: Sequence[Execution], cpu: int, memory_mb: int) -> int:
    """Return how many jobs some executions fill at least; no two of those that need more than half share one."""
    asked = [execution.resources for execution in executions]
    large = sum(1 for one in asked if 2 * one.cpu > cpu or 2 * one.memory_mb > memory_mb)
    return max(large, -(-sum(one.cpu for one in asked) // cpu), -(-sum(one.memory_mb for one in asked) // memory_mb))


def next_for(job: Job, waiting: Iterable[Execution], headroom_mb: int, now: float) -> Execution | None:
    """
    Return the first that a job has time and room for.

    One that it has time but no room for is overtaken by others some times, then a job takes nothing more until it has.
    """
    overtaken: Execution | None = None
    for execution in waiting:
        if execution.resources.wall_clock_seconds > job.ends_at - now:
            continue
        if job.has_room_for(execution, headroom_mb):
            if overtaken is not None:
                overtaken.overtaken += 1
            return execution
        if execution.overtaken >= OVERTAKEN_AT_MOST and _is_kept_for(execution, job):
            return None
        overtaken = overtaken or execution
    return None


def _is_kept_for(execution: Execution, job: Job) -> bool:
    kept = execution.kept
    if kept is None or kept.spent or kept.stage is not Stage.READY:
        execution.kept = job
    return execution.kept is job

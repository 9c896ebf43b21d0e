"""Decide what the pool does next: which execution goes to which job, which jobs are submitted, which are released."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from climate_ref_prefect.transports.batch.pool.assignment import next_for
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.fair_shares import demand, jobs_filled_by, shares
from climate_ref_prefect.transports.batch.pool.job import TO_START, Job, JobState
from climate_ref_prefect.transports.batch.pool.throughput_estimate import UNKNOWN_PACE, Pace
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits

_STARVING_SECONDS: Final = 60.0
"""How long executions of a size without a job wait until queued jobs of other sizes are cancelled for it."""
_GRACE_SECONDS: Final = 600.0
"""How long an unneeded job stays in the queue at least. It costs nothing there, and may be needed soon."""


@dataclass(frozen=True)
class Limits:
    """Limits of a pool."""

    rules: PoolLimits
    headroom_mb: int
    """Memory of each job that is reserved for its worker."""


@dataclass(frozen=True)
class Plan:
    """What the pool does next."""

    starts: tuple[tuple[Path, str], ...] = ()
    """Executions that start, each with the name of its job."""
    waiting: Mapping[Path, Execution] = dataclasses.field(default_factory=dict)
    """Executions that continue to wait and were skipped, with changed counters."""
    drain: tuple[str, ...] = ()
    """Names of jobs that are released: they can take nothing more, or are queued and not needed."""
    too_late: tuple[str, ...] = ()
    """Names of those released jobs that were given nothing because they had taken too long to start."""
    needed: tuple[str, ...] = ()
    """Names of queued jobs for which an execution waits."""
    submit: JobSize | None = None
    """Size of the job to submit; None for no job."""


def plan(
    jobs: Collection[Job],
    waiting: Mapping[JobSize, Sequence[Execution]],
    limits: Limits,
    now: float,
    *,
    pace: Pace = UNKNOWN_PACE,
    paused: Collection[JobSize] = (),
) -> Plan:
    """
    Return what the pool does now.

    Parameters
    ----------
    jobs
        All jobs that are not closed.
    waiting
        Executions without a job, by the size of the jobs that they may run in, each in the order of their submission.
    limits
        Limits of the pool.
    now
        Seconds of the monotonic clock.
    pace
        Measured times of earlier jobs and executions.
    paused
        Sizes of which no job may be submitted yet.
    """
    planning = _Planning(jobs, waiting, limits, now)
    planning.assign()
    planning.withdraw()
    return Plan(
        starts=tuple(planning.starts),
        waiting=planning.passed_over,
        drain=tuple(planning.drained),
        too_late=tuple(planning.too_late),
        needed=tuple(planning.needed),
        submit=planning.size_to_submit(pace, paused),
    )


class _Planning:
    """Builds a plan without changing its inputs."""

    def __init__(
        self, jobs: Collection[Job], waiting: Mapping[JobSize, Sequence[Execution]], limits: Limits, now: float
    ) -> None:
        self._rules = limits.rules
        self._headroom_mb = limits.headroom_mb
        self._now = now
        self._jobs = {job.name: job for job in jobs if job.has_place}
        self._waiting = {size: {one.directory: one for one in executions} for size, executions in waiting.items()}
        self._demand = demand(waiting.values(), self._jobs.values(), limits.headroom_mb)
        self._share = shares(self._demand, limits.rules.max_jobs)
        self._counts = _count_by_size(job for job in self._jobs.values() if job.state is not JobState.RETIRING)
        self._to_start = _count_by_size(job for job in self._jobs.values() if job.state in TO_START)
        self._places = len(self._jobs)
        self._needed: dict[JobSize, int] = {}
        self.starts: list[tuple[Path, str]] = []
        self.passed_over: dict[Path, Execution] = {}
        self.drained: list[str] = []
        self.too_late: list[str] = []
        self.needed: list[str] = []

    def assign(self) -> None:
        """Give executions to ready jobs, and release jobs that are not needed or can take nothing more."""
        for job in [job for job in self._jobs.values() if job.state is JobState.READY]:
            if not job.executions and self._is_wanted_elsewhere(job.size, self._to_start.get(job.size, 0)):
                self._let_go(job)
            else:
                self._use(self._filled(job))

    def withdraw(self) -> None:
        """Cancel unneeded queued jobs, the latest first, so that jobs of other sizes can be submitted instead."""
        queued = [job for job in self._jobs.values() if job.state is JobState.QUEUED]
        for job in sorted(queued, key=lambda job: job.submitted_at, reverse=True):
            if self._is_to_be_withdrawn(job):
                self._to_start[job.size] -= 1
                self._places -= 1  # A job that has started counts until it has ended.
                self._let_go(job)

    def size_to_submit(self, pace: Pace, paused: Collection[JobSize]) -> JobSize | None:
        """Return the size that is furthest below its share; None while a submission is not answered."""
        unanswered = any(job.state in (JobState.SUBMITTING, JobState.IN_DOUBT) for job in self._jobs.values())
        if unanswered or self._places >= self._rules.max_jobs:
            return None
        wanted = [
            size
            for size, number in self._share.items()
            if self._counts.get(size, 0) < number and size not in paused and self._is_worth_a_job(size, pace)
        ]
        return min(wanted, key=lambda size: self._counts.get(size, 0) / self._share[size], default=None)

    def _filled(self, job: Job) -> Job:
        """Return a job with all executions that it can be given now."""
        waiting = self._waiting.get(job.size, {})
        while waiting and job.free_cpu > 0 and not self._is_used_up(job):
            chosen, kept = next_for(job, waiting.values(), self._jobs, self._headroom_mb, self._now)
            if kept is not None:
                waiting[kept.directory] = self.passed_over[kept.directory] = kept
            if chosen is None:
                break
            del waiting[chosen.directory]
            self.passed_over.pop(chosen.directory, None)
            self.starts.append((chosen.directory, job.name))
            held = {**job.executions, chosen.directory: chosen.resources}
            job = self._jobs[job.name] = dataclasses.replace(job, executions=held, given=job.given + 1)
        return job

    def _use(self, job: Job) -> None:
        """Release a job that can take nothing more, or that has not been needed for a while."""
        of_no_use = not job.executions and bool(self._waiting.get(job.size))
        if of_no_use and not job.given and self._came_too_late(job):
            self.too_late.append(job.name)
        if of_no_use or self._is_used_up(job) or (not job.executions and self._has_idled(job)):
            self._let_go(job)

    def _came_too_late(self, job: Job) -> bool:
        """Return whether a job had no time for what waits when its worker connected, and has not idled it away."""
        seconds = job.ends_at - job.connected_at
        waiting = self._waiting.get(job.size, {}).values()
        return all(one.resources.wall_clock_seconds > seconds for one in waiting)

    def _is_used_up(self, job: Job) -> bool:
        limit = self._rules.executions_per_job
        return limit is not None and job.given >= limit

    def _has_idled(self, job: Job) -> bool:
        unneeded = self._share.get(job.size, 0) < self._counts.get(job.size, 0)
        return unneeded and self._now - job.idle_since >= self._rules.idle_seconds

    def _is_to_be_withdrawn(self, job: Job) -> bool:
        if self._places > self._rules.max_jobs:  # A job whose submission was in doubt has been found.
            return True
        if self._to_start.get(job.size, 0) > self._jobs_needed(job.size):
            unneeded_seconds = self._now - job.idle_since
            if unneeded_seconds >= max(self._rules.idle_seconds, _GRACE_SECONDS):
                return True
        else:
            self.needed.append(job.name)
            if self._now - job.submitted_at < _STARVING_SECONDS:
                return False
        return self._is_any_starving() and self._is_wanted_elsewhere(job.size, 0)

    def _is_any_starving(self) -> bool:
        """Return whether a size has no job although it may, and its executions have waited for long."""
        for size, number in self._share.items():
            first = next(iter(self._waiting.get(size, {}).values()), None)
            has_none = number > 0 and not self._counts.get(size, 0)
            if has_none and first is not None and self._now - first.submitted_at >= _STARVING_SECONDS:
                return True
        return False

    def _jobs_needed(self, size: JobSize) -> int:
        """Return how many further jobs the waiting executions of that size would fill."""
        if size not in self._needed:
            asked = [one.resources for one in self._waiting.get(size, {}).values()]
            self._needed[size] = jobs_filled_by(asked, size, self._headroom_mb)
        return self._needed[size]

    def _is_wanted_elsewhere(self, size: JobSize, spared: int) -> bool:
        """
        Return whether other sizes lack jobs that they can get only if this size has fewer.

        `spared` jobs of this size are not counted, because they are released first.
        """
        if self._counts.get(size, 0) - spared <= self._share.get(size, 0):
            return False
        lacking = (number - self._counts.get(other, 0) for other, number in self._share.items())
        return sum(self._counts.values()) + sum(filter(lambda number: number > 0, lacking)) > self._rules.max_jobs

    def _is_worth_a_job(self, size: JobSize, pace: Pace) -> bool:
        """Estimate whether a job that is submitted now would find something to run."""
        waiting, to_start = len(self._waiting.get(size, ())), self._to_start.get(size, 0)
        if to_start >= self._jobs_needed(size):
            return False
        run_seconds, limit = pace.run_seconds.get(size), self._rules.executions_per_job
        if run_seconds is None or waiting > self._left_to_take(size, limit):
            return True
        first = next(iter(self._waiting[size].values()))
        if self._now - first.submitted_at > _STARVING_SECONDS + self._start_seconds(pace):  # the estimate was wrong
            return True
        ready = (job for job in self._jobs.values() if job.size == size and job.state is JobState.READY)
        running = sum(len(job.executions) for job in ready)
        at_once = running + to_start * (running + waiting) / self._demand[size]
        return at_once == 0 or waiting * run_seconds / at_once > self._start_seconds(pace)

    def _left_to_take(self, size: JobSize, limit: int | None) -> float:
        """Return how many executions the present jobs of a size may take before they end."""
        if limit is None:
            return math.inf
        left = sum(limit - job.given for job in self._jobs.values() if job.size == size and job.state is JobState.READY)
        return left + limit * self._to_start.get(size, 0)

    def _start_seconds(self, pace: Pace) -> float:
        """Estimate how long a new job takes to start: at least as long as the queued jobs have waited already."""
        queued = (self._now - job.submitted_at for job in self._jobs.values() if job.state is JobState.QUEUED)
        return max(pace.start_seconds, max(queued, default=0.0))

    def _let_go(self, job: Job) -> None:
        self.drained.append(job.name)
        if not job.executions:
            self._counts[job.size] -= 1
            del self._jobs[job.name]


def _count_by_size(jobs: Iterable[Job]) -> dict[JobSize, int]:
    counts: dict[JobSize, int] = {}
    for job in jobs:
        counts[job.size] = counts.get(job.size, 0) + 1
    return counts

"""What the pool does next: which execution goes to which job, which jobs are submitted, and which are let go."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from climate_ref_prefect.transports.batch.pool.assignment import next_for
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import TO_START, Job, State
from climate_ref_prefect.transports.batch.pool.shares import demand, jobs_filled_by, shares
from climate_ref_prefect.transports.batch.pool.throughput_estimate import UNKNOWN_PACE, Pace
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits

_STARVING_SECONDS: Final = 60.0
"""How long executions of a size that has no job wait until others give up their places in the queue for it."""
_GRACE_SECONDS: Final = 600.0
"""How long a job is left in the queue at least that nobody needs: it costs nothing there, and may be needed soon."""


@dataclass(frozen=True)
class Limits:
    """What a pool is held to."""

    rules: PoolLimits
    headroom_mb: int
    """Memory of each job that is not for executions."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    starts: tuple[tuple[Path, str], ...] = ()
    """Executions that start, each with the name of its job."""
    waiting: Mapping[Path, Execution] = dataclasses.field(default_factory=dict)
    """Executions that wait on, and were passed over."""
    drain: tuple[str, ...] = ()
    """Names of jobs that take nothing more, or of jobs in the queue that nobody needs."""
    too_late: tuple[str, ...] = ()
    """Names of those among them that were given nothing because they had taken too long to start."""
    needed: tuple[str, ...] = ()
    """Names of jobs in the queue for which something waits."""
    submit: JobSize | None = None
    """Size of the job to submit."""


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
    Return what is to be done now.

    Parameters
    ----------
    jobs
        All jobs that are not closed.
    waiting
        Executions without a job, by the size of the jobs that they may run in, each in the order of their submission.
    limits
        What the pool is held to.
    now
        Seconds of the monotonic clock.
    pace
        How fast things have gone so far.
    paused
        Sizes of which no job is submitted for a while.
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
    """A plan while it is made: what it is made of is not changed."""

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
        self._counts = _count_by_size(job for job in self._jobs.values() if job.state is not State.RETIRING)
        self._to_start = _count_by_size(job for job in self._jobs.values() if job.state in TO_START)
        self._places = len(self._jobs)
        self._needed: dict[JobSize, int] = {}
        self.starts: list[tuple[Path, str]] = []
        self.passed_over: dict[Path, Execution] = {}
        self.drained: list[str] = []
        self.too_late: list[str] = []
        self.needed: list[str] = []

    def assign(self) -> None:
        """Give executions to jobs that are there; let go of those that are not needed, or can take nothing more."""
        for job in [job for job in self._jobs.values() if job.state is State.READY]:
            if not job.executions and self._is_wanted_elsewhere(job.size, self._to_start.get(job.size, 0)):
                self._let_go(job)
            else:
                self._use(self._filled(job))

    def withdraw(self) -> None:
        """Withdraw jobs from the queue that nobody needs, the last in it first, so that others can have their place."""
        queued = [job for job in self._jobs.values() if job.state is State.QUEUED]
        for job in sorted(queued, key=lambda job: job.submitted_at, reverse=True):
            if self._is_to_be_withdrawn(job):
                self._to_start[job.size] -= 1
                self._places -= 1  # one that has started keeps its place until it has left
                self._let_go(job)

    def size_to_submit(self, pace: Pace, paused: Collection[JobSize]) -> JobSize | None:
        """Return the size that is furthest below its share, once the submission before has been answered."""
        unanswered = any(job.state in (State.SUBMITTING, State.IN_DOUBT) for job in self._jobs.values())
        if unanswered or self._places >= self._rules.max_jobs:
            return None
        wanted = [
            size
            for size, number in self._share.items()
            if self._counts.get(size, 0) < number and size not in paused and self._is_worth_a_job(size, pace)
        ]
        return min(wanted, key=lambda size: self._counts.get(size, 0) / self._share[size], default=None)

    def _filled(self, job: Job) -> Job:
        """Return a job with all that it can be given now."""
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
        """Let go of a job that can take nothing more, or that nobody has needed for a while."""
        of_no_use = not job.executions and bool(self._waiting.get(job.size))
        if of_no_use and not job.given:
            self.too_late.append(job.name)
        if of_no_use or self._is_used_up(job) or (not job.executions and self._has_idled(job)):
            self._let_go(job)

    def _is_used_up(self, job: Job) -> bool:
        limit = self._rules.executions_per_job
        return limit is not None and job.given >= limit

    def _has_idled(self, job: Job) -> bool:
        unneeded = self._share.get(job.size, 0) < self._counts.get(job.size, 0)
        return unneeded and self._now - job.idle_since >= self._rules.idle_seconds

    def _is_to_be_withdrawn(self, job: Job) -> bool:
        if self._places > self._rules.max_jobs:  # one whose submission was in doubt has been found
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
        """Return whether a size that may have jobs has none, and its executions have waited for long."""
        for size, number in self._share.items():
            first = next(iter(self._waiting.get(size, {}).values()), None)
            has_none = number > 0 and not self._counts.get(size, 0)
            if has_none and first is not None and self._now - first.submitted_at >= _STARVING_SECONDS:
                return True
        return False

    def _jobs_needed(self, size: JobSize) -> int:
        """Return how many further jobs would be filled by what waits for that size."""
        if size not in self._needed:
            asked = [one.resources for one in self._waiting.get(size, {}).values()]
            self._needed[size] = jobs_filled_by(asked, size, self._headroom_mb)
        return self._needed[size]

    def _is_wanted_elsewhere(self, size: JobSize, spared: int) -> bool:
        """
        Return whether other sizes lack jobs that they can have only if this size has fewer.

        `spared` jobs of this size are not counted: they are let go first.
        """
        if self._counts.get(size, 0) - spared <= self._share.get(size, 0):
            return False
        lacking = (number - self._counts.get(other, 0) for other, number in self._share.items())
        return sum(self._counts.values()) + sum(filter(lambda number: number > 0, lacking)) > self._rules.max_jobs

    def _is_worth_a_job(self, size: JobSize, pace: Pace) -> bool:
        """Return whether a job that is submitted now would find something to run, as far as can be told."""
        waiting, to_start = len(self._waiting.get(size, ())), self._to_start.get(size, 0)
        if to_start >= self._jobs_needed(size):
            return False
        run_seconds, limit = pace.run_seconds.get(size), self._rules.executions_per_job
        if run_seconds is None or waiting > self._left_to_take(size, limit):
            return True
        running = sum(len(job.executions) for job in self._jobs.values() if job.size == size)
        at_once = running + to_start * (running + waiting) / self._demand[size]
        return at_once == 0 or waiting * run_seconds / at_once > self._start_seconds(pace)

    def _left_to_take(self, size: JobSize, limit: int | None) -> float:
        """Return how many executions the jobs that a size has may take before they end."""
        if limit is None:
            return math.inf
        left = sum(limit - job.given for job in self._jobs.values() if job.size == size and job.state is State.READY)
        return left + limit * self._to_start.get(size, 0)

    def _start_seconds(self, pace: Pace) -> float:
        """Return how long a job that is submitted now takes to start: longer than what waits already has waited."""
        queued = (self._now - job.submitted_at for job in self._jobs.values() if job.state is State.QUEUED)
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

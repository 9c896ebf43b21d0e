"""Decide what the pool does next: which execution goes to which job, which jobs are submitted, which are released."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.execution import Execution, Room
from climate_ref_prefect.transports.batch.pool.fair_shares import demand, jobs_filled_by, shares
from climate_ref_prefect.transports.batch.pool.job import TO_START, Job, JobState
from climate_ref_prefect.transports.batch.pool.job_counts import (
    beginning_with,
    count_by_size,
    needs_no_more,
    oldest_in_queue,
    ready_by_size,
)
from climate_ref_prefect.transports.batch.pool.plan import Limits, Plan
from climate_ref_prefect.transports.batch.pool.throughput_estimate import UNKNOWN_PACE, Pace
from climate_ref_prefect.transports.batch.pool.waiting_executions import WaitingExecutions
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_STARVING_SECONDS: Final = 60.0
"""How long executions of a size without a job wait until queued jobs of other sizes are cancelled for it."""
_GRACE_SECONDS: Final = 600.0
"""How long an unneeded job stays in the queue at least. It costs nothing there, and may be needed soon."""


_NONE: Final = WaitingExecutions(())


def plan(
    jobs: Collection[Job],
    waiting: Mapping[JobSize, Sequence[Execution]],
    limits: Limits,
    now: float,
    *,
    pace: Pace = UNKNOWN_PACE,
    paused: Collection[JobSize] = (),
    begin_with: str = "",
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
    begin_with
        The `go_on_with` of the plan before. Every job thus has its turn, however many executions start and end.
    """
    planning = _Planning(jobs, waiting, limits, now)
    go_on_with = planning.assign(begin_with)
    if not go_on_with:
        planning.withdraw()
    return Plan(
        starts=tuple(planning.starts),
        waiting=planning.passed_over,
        drain=tuple(planning.drained),
        too_late=tuple(planning.too_late),
        needed=tuple(planning.needed),
        submit=None if go_on_with else planning.size_to_submit(pace, paused),
        go_on_with=go_on_with,
    )


class _Planning:
    """Builds a plan without changing its inputs."""

    def __init__(
        self, jobs: Collection[Job], waiting: Mapping[JobSize, Sequence[Execution]], limits: Limits, now: float
    ) -> None:
        self._rules = limits.rules
        self._headroom_mb = limits.headroom_mb
        self._starts_at_once = limits.starts_at_once
        self._now = now
        self._jobs = {job.name: job for job in jobs if job.has_place}
        self._waiting = {size: WaitingExecutions(executions) for size, executions in waiting.items()}
        self._demand = demand(self._waiting, self._jobs.values(), limits.headroom_mb)
        self._share = shares(self._demand, limits.rules.max_jobs)
        self._counts = count_by_size(job for job in self._jobs.values() if job.state is not JobState.RETIRING)
        self._to_start = count_by_size(job for job in self._jobs.values() if job.state in TO_START)
        self._places, self._number = len(self._jobs), sum(self._counts.values())
        self._lacking = sum(max(0, number - self._counts.get(size, 0)) for size, number in self._share.items())
        self._starving: bool | None = None
        self._needed: dict[JobSize, int] = {}
        self.starts: list[tuple[Path, str]] = []
        self.passed_over: dict[Path, Execution] = {}
        self.drained: list[str] = []
        self.too_late: list[str] = []
        self.needed: list[str] = []

    def assign(self, begin_with: str) -> str:
        """
        Give executions to ready jobs, and release jobs that are not needed or can take nothing more.

        Returns
        -------
        The name of the first job that has not had its turn, because enough executions start; empty if all have.
        """
        ready = [job for job in self._jobs.values() if job.state is JobState.READY]
        for job in beginning_with(ready, begin_with):
            if len(self.starts) >= self._starts_at_once:
                return job.name
            if not job.executions and self._is_wanted_elsewhere(job.size, self._to_start.get(job.size, 0)):
                self._let_go(job)
            else:
                self._use(self._filled(job))
        return ""

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
            size for size, number in self._share.items() if self._counts.get(size, 0) < number and size not in paused
        ]
        wanted.sort(key=lambda size: self._counts.get(size, 0) / self._share[size])
        return next((size for size in wanted if self._is_worth_a_job(size, pace)), None)

    def _filled(self, job: Job) -> Job:
        """Return a job with all executions that it can be given now."""
        waiting, limit = self._waiting_for(job.size), self._rules.executions_per_job
        cpu, memory_mb, seconds = job.free_cpu, job.free_memory_mb(self._headroom_mb), job.ends_at - self._now
        given: dict[Path, ResourceHint] = {}
        while len(waiting) and cpu > 0 and (limit is None or job.given + len(given) < limit):
            chosen, kept = waiting.take(job.name, Room(cpu, memory_mb, seconds), self._jobs)
            if kept is not None:
                self.passed_over[kept.directory] = kept
            if chosen is None:
                break
            directory, resources = chosen.directory, chosen.resources
            self.passed_over.pop(directory, None)
            self.starts.append((directory, job.name))
            given[directory] = resources
            cpu, memory_mb = cpu - resources.cpu, memory_mb - resources.memory_mb
        if given:
            held = {**job.executions, **given}
            job = self._jobs[job.name] = dataclasses.replace(job, executions=held, given=job.given + len(given))
        return job

    def _waiting_for(self, size: JobSize) -> WaitingExecutions:
        """Return the executions that wait for jobs of a size."""
        return self._waiting.get(size, _NONE)

    def _use(self, job: Job) -> None:
        """Release a job that can take nothing more, or that has not been needed for a while."""
        of_no_use = not job.executions and len(self._waiting_for(job.size)) > 0
        if of_no_use and not job.given and self._came_too_late(job):
            self.too_late.append(job.name)
        if of_no_use or self._is_used_up(job) or (not job.executions and self._has_idled(job)):
            self._let_go(job)

    def _came_too_late(self, job: Job) -> bool:
        """Return whether a job had no time for what waits when its worker connected, and has not idled it away."""
        return self._waiting_for(job.size).shortest_seconds > job.ends_at - job.connected_at

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
        if self._starving is None:
            self._starving = any(map(self._is_starving, self._share))
        return self._starving

    def _is_starving(self, size: JobSize) -> bool:
        first = self._waiting_for(size).first
        has_none = self._share.get(size, 0) > 0 and not self._counts.get(size, 0)
        return has_none and first is not None and self._now - first.submitted_at >= _STARVING_SECONDS

    def _jobs_needed(self, size: JobSize) -> int:
        """Return how many further jobs the waiting executions of that size would fill."""
        if size not in self._needed:
            self._needed[size] = jobs_filled_by(self._waiting_for(size), size, self._headroom_mb)
        return self._needed[size]

    def _is_wanted_elsewhere(self, size: JobSize, spared: int) -> bool:
        """
        Return whether other sizes lack jobs that they can get only if this size has fewer.

        `spared` jobs of this size are not counted, because they are released first.
        """
        if self._counts.get(size, 0) - spared <= self._share.get(size, 0):
            return False
        return self._number + self._lacking > self._rules.max_jobs

    def _is_worth_a_job(self, size: JobSize, pace: Pace) -> bool:
        """Estimate whether a job that is submitted now would find something to run."""
        waiting, to_start = len(self._waiting_for(size)), self._to_start.get(size, 0)
        if to_start >= self._jobs_needed(size):
            return False
        run_seconds, limit = pace.run_seconds.get(size), self._rules.executions_per_job
        if run_seconds is None or waiting > self._left_to_take(size, limit):
            return True
        first, start_seconds = self._waiting_for(size).first, self._start_seconds(size, pace)
        assert first is not None  # noqa: S101 - some are waiting, because they need more jobs than there are
        if self._now - first.submitted_at > _STARVING_SECONDS + start_seconds:  # the estimate was wrong
            return True
        running = sum(len(job.executions) for job in self._ready.get(size, ()))
        at_once = running + to_start * (running + waiting) / self._demand[size]
        return at_once == 0 or waiting * run_seconds / at_once > start_seconds

    def _left_to_take(self, size: JobSize, limit: int | None) -> float:
        """Return how many executions the present jobs of a size may take before they end."""
        if limit is None:
            return math.inf
        left = sum(limit - job.given for job in self._ready.get(size, ()))
        return left + limit * self._to_start.get(size, 0)

    def _start_seconds(self, size: JobSize, pace: Pace) -> float:
        """Estimate how long a new job takes to start: at least as long as queued jobs that need no more have waited."""
        queued = (
            self._now - submitted_at for other, submitted_at in self._oldest.items() if needs_no_more(other, size)
        )
        return max(pace.start_seconds, max(queued, default=0.0))

    @cached_property
    def _ready(self) -> Mapping[JobSize, Sequence[Job]]:
        """The ready jobs by size, once executions have been assigned and jobs released."""
        return ready_by_size(self._jobs.values())

    @cached_property
    def _oldest(self) -> Mapping[JobSize, float]:
        """When the queued job of each size was submitted that has waited for longest, once others were withdrawn."""
        return oldest_in_queue(self._jobs.values())

    def _let_go(self, job: Job) -> None:
        self.drained.append(job.name)
        if not job.executions:
            del self._jobs[job.name]
            self._number, self._counts[job.size] = self._number - 1, self._counts[job.size] - 1
            self._lacking += int(self._counts[job.size] < self._share.get(job.size, 0))
            if self._starving is False:
                self._starving = self._is_starving(job.size)

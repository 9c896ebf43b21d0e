"""Pools of batch jobs: executions wait by size, are given to jobs with time enough, and end once."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome, FailureKind
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.base import cancelled_early, ended_early
from climate_ref_prefect.transports.batch.errands import Errands
from climate_ref_prefect.transports.batch.fleet import Fleet, WriteScript
from climate_ref_prefect.transports.batch.jobs import Execution, Job, Stage, demand, next_for, shares
from climate_ref_prefect.transports.batch.obituary import (
    death_of,
    death_of_waiting,
    ended_with_its_job,
    is_quiet,
    kind_of,
    meta_of,
    outcome_left,
)
from climate_ref_prefect.transports.batch.pilots import Listener, Pilots
from climate_ref_prefect.transports.batch.rules import PoolRules
from climate_ref_prefect.transports.batch.scheduler import BatchScheduler
from climate_ref_prefect.transports.batch.sizing import JobSize
from climate_ref_prefect.transports.port import Death, Ended, Submission

logger = logging.getLogger(__name__)
_TICK_SECONDS: Final = 0.25
_CANCEL_SECONDS: Final = 15.0
"""How long an execution may take to end that was cancelled, before its job is."""
_EXPLAIN_SECONDS: Final = 5.0
"""How long the end of a job may take to show that explains the end of an execution in it."""


class JobPool:
    """
    The executions of one open transport, and the jobs that run them.

    One thread owns all of it and hears of everything through one queue; Dask's thread and that of the
    scheduler's commands only put news there.

    Parameters
    ----------
    rules
        Limits.
    scheduler
        The site's commands.
    open_pilots
        Starts to listen for workers, on behalf of the listener that it is given.
    write_script
        Makes the job script for a worker of this name and size.
    headroom_mb
        Memory of each job that is not for executions.
    file_delay_seconds
        How late the files of a node may show here.
    """

    def __init__(
        self,
        rules: PoolRules,
        scheduler: BatchScheduler,
        open_pilots: Callable[[Listener], Pilots],
        write_script: Callable[[Pilots], WriteScript],
        *,
        headroom_mb: int,
        file_delay_seconds: float,
    ) -> None:
        self._rules = rules
        self._headroom_mb = headroom_mb
        self._file_delay_seconds = file_delay_seconds
        self._scheduler = scheduler
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._deaths: dict[Path, Death] = {}
        self._executions: dict[Path, Execution] = {}
        self._waiting: dict[JobSize, deque[Execution]] = {}
        self._barred: dict[JobSize, Death] = {}
        self._broken: Exception | None = None
        self._closing = False
        self._pilots = open_pilots(self)
        self._errands = Errands(scheduler, self._news.put)
        self._fleet = Fleet(
            rules, scheduler.name, self._errands, self._pilots, write_script=write_script(self._pilots), crew=self
        )
        self._thread = threading.Thread(target=self._work, name="job-pool", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission, size: JobSize, resources: ResourceHint) -> None:
        """Take an execution."""
        execution = Execution(submission, size, resources, time.monotonic())
        self._news.put(lambda: self._take(execution))

    def cancel(self, directory: Path) -> None:
        """Have an execution stopped, or keep it from starting."""
        self._news.put(lambda: self._cancel(directory))

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""
        ended: list[Ended] = []
        try:
            ended.append(self._ended.get(timeout=timeout_seconds))
            while True:
                ended.append(self._ended.get_nowait())
        except queue.Empty:
            if self._broken and not ended:
                raise self._broken from None
            return ended

    def explain(self, directory: Path) -> Death | None:
        """Return why the backend ended an execution, once."""
        return self._deaths.pop(directory, None)

    def close(self, timeout_seconds: float) -> set[str]:
        """End all jobs and wait for that; return those that have ended for sure."""
        give_up_at = time.monotonic() + timeout_seconds
        self._closing = True
        self._news.put(lambda: None)
        try:
            self._thread.join(timeout_seconds)
        finally:  # interrupted once more: jobs are ended all the same
            try:
                ended = self._end_jobs(give_up_at)
            finally:
                self._pilots.close()
        return ended

    def _end_jobs(self, give_up_at: float) -> set[str]:
        self._errands.finish(give_up_at)
        while not self._news.empty():  # a job may just have been submitted
            self._news.get()()
        ended = self._errands.end_jobs([job.job_id for job in self._fleet.jobs if job.job_id], give_up_at)
        return {job_id for job_id, record in ended.items() if record and record.confirmed}

    def worker_came(self, name: str, address: str, age_seconds: float) -> None:
        """Hear from Dask that a job's pilot has connected, so long after the start of the job."""
        self._news.put(lambda: self._fleet.welcome(name, address, age_seconds))

    def worker_went(self, name: str) -> None:
        """Hear from Dask that the connection to a pilot is gone."""
        self._news.put(lambda: self._fleet.miss(name))

    def bar(self, size: JobSize, death: Death) -> None:
        """End what waits for jobs of a size that cannot be had, now and later."""
        self._barred[size] = death
        for execution in self._waiting.pop(size, ()):
            self._end(execution, death=death)

    def look_after(self, job: Job) -> None:
        """End what has left an outcome in a job that is lost, and all of one that is over."""
        for execution in list(job.running.values()):
            outcome = outcome_left(execution)
            if outcome is not None:
                self._end(execution, outcome)
            elif job.stage is Stage.OVER:
                self._end(execution, death=death_of(job, self._scheduler.name))

    def is_quiet(self, job: Job) -> bool:
        """Whether nothing in a job has given a sign of life for some heartbeats."""
        return all(is_quiet(execution, self._file_delay_seconds) for execution in job.running.values())

    def _work(self) -> None:
        try:
            while not self._closing:
                self._hear_news()
                self._arrange()
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever waits
            self._broken = error

    def _hear_news(self) -> None:
        try:
            self._news.get(timeout=_TICK_SECONDS)()
            while not self._closing:
                self._news.get_nowait()()
        except queue.Empty:
            return

    def _arrange(self) -> None:
        self._give_up()
        share = shares(demand(self._waiting.values(), self._fleet.jobs, self._headroom_mb), self._rules.max_jobs)
        self._assign(share)
        self._fleet.let_go(share)
        self._fleet.start_jobs(share)
        self._fleet.look()

    def _take(self, execution: Execution) -> None:
        if execution.directory in self._executions:
            return
        self._executions[execution.directory] = execution
        if execution.size in self._barred:
            self._end(execution, death=self._barred[execution.size])
        else:
            self._waiting.setdefault(execution.size, deque()).append(execution)

    def _cancel(self, directory: Path) -> None:
        execution = self._executions.get(directory)
        if execution is None or execution.cancelled_at is not None:
            return
        execution.cancelled_at = time.monotonic()
        if execution.job is None:
            self._waiting[execution.size].remove(execution)
            self._end(execution, cancelled_early(directory))
        elif execution.job.stage is Stage.READY:
            self._pilots.cancel(execution.job.address, directory)
        else:
            self._fleet.cancel([execution.job])

    def _give_up(self) -> None:
        """End the jobs of executions that do not heed their cancelling, and executions that wait for too long."""
        now = time.monotonic()
        for execution in list(self._executions.values()):
            if execution.job and execution.cancelled_at and now - execution.cancelled_at > _CANCEL_SECONDS:
                self._fleet.cancel([execution.job])
            elif execution.is_left_by_its_job(now, _EXPLAIN_SECONDS):
                self._end(execution, execution.last_word)
        if self._rules.pending_limit:
            self._give_up_waiting(self._rules.pending_limit)

    def _give_up_waiting(self, limit: timedelta) -> None:
        too_old = time.monotonic() - limit.total_seconds()
        for waiting in self._waiting.values():
            while waiting and waiting[0].since < too_old:
                self._end(waiting.popleft(), death=death_of_waiting(self._fleet.jobs, self._scheduler.name, limit))

    def _end(self, execution: Execution, outcome: ExecutionOutcome | None = None, death: Death | None = None) -> None:
        del self._executions[execution.directory]
        job = execution.job
        if job is not None:
            del job.running[execution.directory]
            job.idle_since = time.monotonic()
            # The scheduler counts what ran out of memory for the whole job: what comes after would be blamed for it.
            job.spent = job.spent or (outcome is not None and kind_of(outcome) is FailureKind.OUT_OF_MEMORY)
        if death is not None and job is None:
            outcome = ended_early(execution.directory, death.kind, death.message)
        elif death is not None:
            cancelled = execution.cancelled_at is not None
            self._deaths[execution.directory] = (
                death.model_copy(update={"kind": FailureKind.CANCELLED}) if cancelled else death
            )
        self._ended.put(Ended(submission=execution.submission, outcome=outcome, meta=meta_of(job) if job else {}))

    def _assign(self, share: Mapping[JobSize, int]) -> None:
        """Give executions to jobs that are there; send away those that can take none of what waits."""
        now = time.monotonic()
        for job in self._fleet.ready():
            if not job.running and self._fleet.is_wanted_elsewhere(job, share):
                self._fleet.retire(job)
                continue
            while self._takes_more(job) and (execution := self._next_for(job, now)):
                self._start(execution, job)
            if not job.running and (job.spent or self._waiting.get(job.size)):
                self._fleet.retire(job)
                if not job.executions:
                    self._fleet.count_failed_start(job, "it took longer to start than `walltime_margin` allows.")

    def _takes_more(self, job: Job) -> bool:
        limit = self._rules.executions_per_job
        return not job.spent and job.free_cpu > 0 and (limit is None or job.executions < limit)

    def _next_for(self, job: Job, now: float) -> Execution | None:
        waiting = self._waiting.get(job.size, deque())
        execution = next_for(job, waiting, self._headroom_mb, now)
        if execution is not None:
            waiting.remove(execution)
        return execution

    def _start(self, execution: Execution, job: Job) -> None:
        execution.job = job
        job.running[execution.directory] = execution
        job.executions += 1
        self._fleet.note_use(job)
        self._pilots.run(job.address, execution.directory, lambda answer: self._report(execution, answer))

    def _report(self, execution: Execution, answer: ExecutionOutcome | Exception) -> None:
        """Take in a result, in a thread of its own."""
        if isinstance(answer, ExecutionOutcome):
            self._news.put(lambda: self._finish(execution, answer))
        else:
            logger.info("The worker of %s is gone: %s", execution.directory, answer)
            self._news.put(lambda: self._follow(execution))

    def _finish(self, execution: Execution, outcome: ExecutionOutcome) -> None:
        if self._executions.get(execution.directory) is not execution:
            return
        if ended_with_its_job(outcome):
            execution.last_word, execution.last_word_at = outcome, time.monotonic()
        else:
            self._end(execution, outcome)

    def _follow(self, execution: Execution) -> None:
        if execution.job is not None and self._executions.get(execution.directory) is execution:
            self._fleet.lose(execution.job)

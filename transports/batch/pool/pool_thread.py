"""The thread that applies the actions of a pool, by the scheduler's commands and by calls of workers."""

import logging
import math
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.base_transport import ended_early
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.execution_file_monitor import Heartbeats, outcome_left, output_of_job
from climate_ref_prefect.transports.batch.pool.job import JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelAnswered,
    Connected,
    Disconnected,
    Event,
    Found,
    NotFound,
    Polled,
    Quiet,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.pool import Pool
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CancelJob,
    CloseWorker,
    PoolAction,
    ReportEnd,
    StartExecution,
    StopExecution,
    SubmitJob,
    Warn,
)
from climate_ref_prefect.transports.batch.pool.worker_link_port import Listener, WorkerLink
from climate_ref_prefect.transports.batch.schedulers.command_queue import CommandQueue, PollAnswer
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.ended_queue import EndedQueue
from climate_ref_prefect.transports.port import Ended, Submission, Termination

logger = logging.getLogger(__name__)
WriteScript = Callable[[str, JobSize], Path]
_TICK_SECONDS: Final = 0.25
_FILES_SECONDS: Final = 0.5
"""How often the directories of executions without a connected worker are examined."""


class PoolThread:
    """
    The executions of one open transport, and the jobs that run them.

    One thread owns the state and receives all calls through one queue. Dask's thread and that of the scheduler's
    commands only put calls into it. `Pool` decides which actions follow.

    Parameters
    ----------
    limits
        Limits of the pool.
    scheduler
        The site's commands.
    open_link
        Starts to listen for workers, and reports to the listener that it is given.
    write_script
        Writes the job script for a worker of a name and size.
    file_delay_seconds
        How late files that a node has written may become visible here.
    logs
        The directory of the jobs' output.
    """

    def __init__(
        self,
        limits: Limits,
        scheduler: BatchScheduler,
        open_link: Callable[[Listener], WorkerLink],
        write_script: Callable[[WorkerLink], WriteScript],
        *,
        file_delay_seconds: float,
        logs: Path,
    ) -> None:
        self._poll_seconds = limits.rules.poll_seconds
        self._scheduler = scheduler
        self._logs = logs
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._started: deque[Path] = deque()
        self._ended = EndedQueue()
        self._causes: dict[Path, Termination] = {}
        self._broken: Exception | None = None
        self._closing = False
        self._state = Pool(scheduler.name, limits, _new_name)
        self._marks: dict[str, str] = {}
        self._told: set[str] = set()
        """Jobs that the scheduler was asked to cancel."""
        self._heartbeats = Heartbeats(file_delay_seconds)
        self._files_from = -math.inf
        self._polled_at: float | None = None
        self._poll_from = time.monotonic() + self._poll_seconds
        self._polling = False
        self._link = open_link(self)
        self._write_script = write_script(self._link)
        self._commands = CommandQueue(scheduler, self._calls.put)
        self._thread = threading.Thread(target=self._work, name="job-pool", daemon=True)
        self._thread.start()

    def submit(self, submission: Submission, size: JobSize, resources: ResourceHint) -> None:
        """Add an execution."""
        execution = Execution(submission, size, resources, time.monotonic())
        self._calls.put(lambda: self._do(self._state.take(execution)))

    def cancel(self, directory: Path) -> None:
        """Stop an execution, or keep it from starting."""
        self._calls.put(lambda: self._do(self._state.cancel(directory, time.monotonic())))

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return the executions that have ended, and wait up to `timeout_seconds` for the first."""
        if not (ended := self._ended.wait(timeout_seconds)) and self._broken:
            raise self._broken
        return ended

    def new_starts(self) -> list[Path]:
        """Return the directories of executions that workers have been given since the last call."""
        return [self._started.popleft() for _ in range(len(self._started))]

    def explain(self, directory: Path) -> Termination | None:
        """Return once why the backend ended an execution."""
        return self._causes.pop(directory, None)

    def close(self, timeout_seconds: float) -> set[str]:
        """Cancel all jobs and wait for their end. Returns those whose end is confirmed."""
        give_up_at, self._closing = time.monotonic() + timeout_seconds, True
        self._calls.put(lambda: None)
        try:
            self._thread.join(timeout_seconds)
        finally:  # A second interrupt: the jobs are cancelled all the same.
            try:
                ended = self._end_jobs(give_up_at)
            finally:
                self._link.close()
        return ended

    def on_worker_connected(self, name: str, address: str, age_seconds: float) -> None:
        """Receive from Dask that a job's worker has connected, `age_seconds` after the start of the job."""
        self._calls.put(lambda: self._connected(name, Connected(address, age_seconds)))

    def on_worker_disconnected(self, name: str, address: str) -> None:
        """Receive from Dask that the connection to a worker is lost."""
        self._calls.put(lambda: self._apply_event(name, Disconnected(address)))

    def _work(self) -> None:
        try:
            while not self._closing:
                self._make_calls()
                now = time.monotonic()
                self._do(self._state.arrange(now))
                self._look_at_files(now)
                self._poll(now)
        except Exception as error:  # noqa: BLE001 - it is handed on to whoever waits
            self._broken = error

    def _make_calls(self) -> None:
        try:
            self._calls.get(timeout=0.0 if self._state.has_more_to_start else _TICK_SECONDS)()
            while not self._closing:
                self._calls.get_nowait()()
        except queue.Empty:
            return

    def _apply_event(self, name: str, event: Event) -> None:
        self._do(self._state.on(name, event, time.monotonic()))

    def _do(self, actions: Iterable[PoolAction]) -> None:
        to_cancel: list[CancelJob] = []
        for action in actions:
            match action:
                case SubmitJob(name, size):
                    script = self._write_script(name, size)
                    self._marks[name] = self._scheduler.mark_in(script)
                    self._commands.submit(script, partial(self._submitted, name))
                case CancelJob():
                    to_cancel.append(action)
                case CloseWorker(address):
                    self._link.retire(address)
                case StartExecution(address, directory):
                    self._started.append(directory)
                    self._link.run(address, directory, partial(self._answered, address, directory))
                case StopExecution(address, directory):
                    self._link.cancel(address, directory)
                case ReportEnd():
                    self._report(action)
                case Warn(words):
                    logger.warning("%s", words)
        if to_cancel:
            on_answer = partial(self._cancelled, [one.name for one in to_cancel])
            self._commands.cancel([one.job_id for one in to_cancel], on_answer)

    def _report(self, end: ReportEnd) -> None:
        directory, outcome = end.submission.directory, end.outcome
        if end.cause is not None and not end.started:
            outcome = ended_early(directory, end.cause.kind, end.cause.message)
        elif end.cause is not None:
            self._causes[directory] = end.cause
        self._ended.put(Ended(submission=end.submission, outcome=outcome, meta=end.meta))

    def _answered(self, address: str, directory: Path, answer: ExecutionOutcome | Exception) -> None:
        """Receive the answer of a worker, in a thread of its own."""
        if isinstance(answer, ExecutionOutcome):
            self._calls.put(lambda: self._do(self._state.answered(directory, answer, time.monotonic())))
        else:
            logger.info("The worker that ran %s is lost: %s", directory, answer)
            self._calls.put(lambda: self._do(self._state.worker_lost(directory, address, time.monotonic())))

    def _connected(self, name: str, event: Connected) -> None:
        if self._polled_at is None:  # Only the scheduler knows its node, for the telemetry.
            self._poll_from = -math.inf
        self._apply_event(name, event)

    def _submitted(self, name: str, answer: str | Exception) -> None:
        if isinstance(answer, str):
            self._apply_event(name, Submitted(answer))
        else:
            self._do(self._state.not_submitted(name, answer, time.monotonic()))

    def _cancelled(self, names: Sequence[str], answer: Exception | None) -> None:
        if answer is not None:
            words = "A request to cancel jobs of %s failed and will be repeated: %s"
            logger.warning(words, self._scheduler.name, answer)
        else:
            self._told |= {job.job_id for job in self._state.jobs if job.name in names}
        for name in names:
            self._apply_event(name, CancelAnswered(None if answer is None else str(answer)))

    def _look_at_files(self, now: float) -> None:
        if now < self._files_from:
            return
        self._files_from = now + _FILES_SECONDS
        jobs = self._state.jobs_to_follow()
        self._heartbeats.keep(directory for job in jobs for directory in job.executions)
        for job in jobs:
            left = {directory: outcome_left(directory) for directory in job.executions}
            for directory, outcome in left.items():
                if outcome is not None:
                    self._do(self._state.ended(directory, outcome, now))
            silent = [directory for directory, outcome in left.items() if outcome is None]
            if silent and job.state in (JobState.VANISHED, JobState.RESTARTED) and self._heartbeats.have_ceased(silent):
                self._apply_event(job.name, Quiet())

    def _poll(self, now: float) -> None:
        job_ids = [job.job_id for job in self._state.jobs if job.job_id]
        to_find = self._state.jobs_to_find()
        if self._polling or now < self._poll_from or not (job_ids or to_find):
            return
        self._polling, self._polled_at, self._poll_from = True, now, now + self._poll_seconds
        self._commands.poll(job_ids, partial(self._polled, to_find), find_marks=bool(to_find))

    def _polled(self, to_find: Iterable[str], answer: PollAnswer | Exception) -> None:
        self._polling = False
        self._poll_from = time.monotonic() + self._poll_seconds
        if isinstance(answer, Exception):
            words = "%s did not report on its jobs: %s The next request follows in %g s."
            logger.warning(words, self._scheduler.name, answer, self._poll_seconds)
            return
        for name in to_find if answer.marks is not None else ():
            job_id = (answer.marks or {}).get(self._marks.get(name, ""))
            self._apply_event(name, Found(job_id) if job_id else NotFound())
        for job in self._state.jobs:
            record = answer.records.get(job.job_id)
            if record is not None:
                output = output_of_job(job.job_id, self._logs) if record.over and job.state is JobState.QUEUED else None
                self._apply_event(job.name, Polled(record, answer.asked_at, output))

    def _end_jobs(self, give_up_at: float) -> set[str]:
        self._commands.finish(give_up_at)
        while not self._calls.empty():  # A job may just have been submitted.
            try:
                self._calls.get()()
            except Exception:
                logger.exception("A call of the pool of jobs has failed while it was closed; its jobs are ended.")
        jobs = self._state.jobs
        ended = self._commands.end_jobs(
            [job.job_id for job in jobs if job.job_id],
            give_up_at,
            told=self._told,
            marks=[mark for job in jobs if not job.job_id and (mark := self._marks.get(job.name))],
        )
        return {job_id for job_id, record in ended.items() if record and record.confirmed}


def _new_name(size: JobSize) -> str:
    # Unique, because a job of an earlier coordinator on the same address could connect to this one.
    return f"{size.label}-{uuid.uuid4().hex}"

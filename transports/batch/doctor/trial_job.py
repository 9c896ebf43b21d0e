"""A trial job: submitted like the jobs of executions, observed, asked questions, and cancelled at the end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.dask.open_transport import listen, make_keys, write_script
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.schedulers.command_queue import CommandQueue
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionInDoubtError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

Answer = TypeVar("Answer")
_NAME: Final = "doctor"
_END_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 60.0
_UNKNOWN_IS_OVER: Final = 2
"""How many times in a row the scheduler must not know a job before it counts as over. A new job may appear late."""
_LINES: Final = 6
_POLL_SECONDS: Final = 0.2


class TrialJob:
    """
    One job and its pilot.

    Parameters
    ----------
    transport
        The transport whose job it is.
    size
        Size of the job.
    keys
        Keys for TLS; None without TLS.
    """

    def __init__(self, transport: BatchSite, size: JobSize, keys: CommsKeys | None) -> None:
        self.transport = transport
        self.size = size
        self.refusal: Exception | None = None
        """The error with which the scheduler refused the job."""
        self.record: JobRecord | None = None
        """The last record of the job."""
        self.silence = ""
        """The error of the last request, if the scheduler did not answer."""
        self.pilot = ""
        """Address of the pilot, once it has connected."""
        self.mute = False
        """Whether the pilot has connected and does not answer any more."""
        self.job_id = ""
        self._mark = ""
        self._keys = keys
        self._awaited = False
        self._unknown = 0
        self._over = False
        self._scheduler = transport.commands()
        self._news = threading.Event()
        self._commands = CommandQueue(self._scheduler, self._take)
        self._pilots = listen(transport, self, keys)

    @property
    def scheduler(self) -> str:
        """Name of the scheduler."""
        return self._scheduler.name

    @property
    def address(self) -> str:
        """Address on which the coordinator listens."""
        return self._pilots.address

    @property
    def contact(self) -> str:
        """Address at which the node looks for the coordinator."""
        return self.transport.contact(self.address)

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self._over

    @property
    def started(self) -> bool:
        """Whether the scheduler has started the job. A job that it does not know any more was probably started."""
        record = self.record
        if self.pilot or record is None:
            return bool(self.pilot)
        return (
            bool(record.node)
            or record.state is SchedulerJobState.RUNNING
            or (self._over and record.state is SchedulerJobState.UNKNOWN)
        )

    def run(self, wait_seconds: float) -> None:
        """Submit the job and wait, for a limited time, for its pilot, a refusal or its end."""
        give_up_at = time.monotonic() + wait_seconds
        self._awaited = True
        script = write_script(self.transport, self.address, _NAME, self.size, self._keys)
        self._mark = self._scheduler.mark_in(script)
        self._commands.submit(script, self._hear_of_submission)
        while not self._is_settled() and (left := give_up_at - time.monotonic()) > 0:
            self._news.wait(min(left, self.transport.rules.poll_seconds))
            self._news.clear()
            if not self._is_settled():
                self.look()
        self._awaited = False
        self.look()

    def look(self) -> None:
        """Ask the scheduler about the job."""
        if not self.job_id or self._over:
            return
        try:
            record = self._scheduler.look([self.job_id]).get(self.job_id)
        except SchedulerSilentError as error:
            self.silence = str(error)
            return
        self.silence = ""
        unknown = record is None or record.state is SchedulerJobState.UNKNOWN
        self._unknown = self._unknown + 1 if unknown else 0
        self._over = self._unknown >= _UNKNOWN_IS_OVER or (not unknown and record is not None and record.over)
        if not unknown or self.record is None:
            self.record = record

    def ask(self, function: Callable[..., Answer], *arguments: object, seconds: float = 0.0) -> Answer:
        """Have the pilot call a function that takes up to `seconds`, and return the result; raises what that raises."""
        try:
            return self._pilots.call(self.pilot, function, *arguments).result(seconds + _CALL_SECONDS)
        except TimeoutError:
            self.mute = True  # The pilot does one thing at a time.
            raise

    def end(self) -> None:
        """Cancel the job and wait for its end."""
        give_up_at = time.monotonic() + _END_SECONDS
        self._commands.finish(give_up_at)
        known = [self.job_id] if self.job_id and not self._over else []
        in_doubt = [self._mark] if self._mark and isinstance(self.refusal, SubmissionInDoubtError) else []
        ended = self._commands.end_jobs(known, give_up_at, marks=in_doubt)
        self._over = self._over or any(ended.values())

    def last_words(self) -> tuple[str, ...] | None:
        """Return the last lines that an ended job has printed; empty if its output file is not visible."""
        give_up_at = time.monotonic() + self.transport.outcome_patience_seconds
        directory = self.transport.log_directory
        while not (logs := sorted(directory.glob("*"))) and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
        return tuple(line for log in logs for line in _last_lines(log)) if logs else None

    def close(self) -> None:
        """End the job and stop listening."""
        try:
            self.end()
        finally:
            self._pilots.close()

    def on_worker_connected(self, name: str, address: str, age_seconds: float) -> None:
        """Handle Dask's event that the pilot has connected."""
        self._take(lambda: self._welcome(address))

    def on_worker_disconnected(self, name: str, address: str) -> None:
        """Handle Dask's event that the connection to the pilot is lost."""
        self.mute = True

    def _is_settled(self) -> bool:
        never = self.record is not None and self.record.never
        return bool(self.pilot) or self.refusal is not None or self._over or never

    def _take(self, answer: Callable[[], None]) -> None:
        answer()  # In this thread: a signal could interrupt the main one, and the job would be forgotten.
        self._news.set()

    def _welcome(self, address: str) -> None:
        if self._awaited:  # A pilot that connects later is too late.
            self.pilot = address

    def _hear_of_submission(self, answer: str | Exception) -> None:
        if isinstance(answer, str):
            self.job_id = answer
        else:
            self.refusal = answer


@contextmanager
def open_trial_job(transport: BatchSite, size: JobSize) -> Iterator[TrialJob]:
    """
    Listen for the pilot of a job that will be submitted. At the end no job, key or script remains.

    Raises
    ------
    BadInputError
        If the coordinator cannot listen.
    """
    with ExitStack() as ending:
        keys = make_keys(transport)
        if keys is not None:
            ending.enter_context(keys)
        trial = TrialJob(transport, size, keys)
        ending.callback(trial.close)
        yield trial


def _last_lines(log: Path) -> list[str]:
    lines = (
        "".join(filter(str.isprintable, line))
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return [line for line in lines if line.strip()][-_LINES:]

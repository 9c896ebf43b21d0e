"""Run the commands of a batch scheduler one after another in a thread of their own, because one may take a minute."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    BatchScheduler,
    JobRecord,
    SchedulerSilentError,
)

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_FIRST_CONFIRM_SECONDS: Final = 0.3
_LONGEST_CONFIRM_SECONDS: Final = 2.0


@dataclass(frozen=True)
class PollAnswer:
    """The answer of the scheduler about jobs."""

    asked_at: float
    """When it was asked, by the monotonic clock."""
    records: dict[str, JobRecord]
    """Records of the requested jobs by id. Jobs that the scheduler did not report on are left out."""
    marks: dict[str, str] | None
    """The id of each unfinished job by its mark; None if marks were not requested."""


class CommandQueue:
    """
    Commands to one scheduler.

    Parameters
    ----------
    scheduler
        The scheduler.
    report
        Passes a call to the thread that waits for the answers.
    """

    def __init__(self, scheduler: BatchScheduler, report: Callable[[Callable[[], None]], None]) -> None:
        self._scheduler = scheduler
        self._report = report
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="ask-scheduler")
        self._last: Future[None] | None = None
        self._finishing = threading.Event()

    def submit(self, script: Path, then: Callable[[str | Exception], None]) -> None:
        """Submit a job script, remove it, and report the id of the job or the error."""
        self._run(lambda: self._scheduler.submit(script), then, script)

    def poll(self, job_ids: Sequence[str], then: Callable[[PollAnswer | Exception], None], *, find_marks: bool) -> None:
        """Ask about jobs, and with `find_marks` for the marks of all jobs of this user."""
        self._run(lambda: self._poll(job_ids, find_marks=find_marks), then)

    def cancel(self, job_ids: Sequence[str], then: Callable[[Exception | None], None]) -> None:
        """Have jobs cancelled."""
        self._run(lambda: self._scheduler.cancel(job_ids), then)

    def finish(self, give_up_at: float) -> None:
        """Start no further command and wait for the running one, so that no job is submitted unnoticed after this."""
        self._finishing.set()  # A future that is cancelled in the queue never wakes its waiters.
        self._threads.shutdown(wait=False)
        if self._last is not None:
            wait([self._last], max(0.0, give_up_at - time.monotonic()))

    def end_jobs(
        self,
        job_ids: Iterable[str],
        give_up_at: float,
        *,
        told: Collection[str] = (),
        marks: Collection[str] = (),
    ) -> dict[str, JobRecord | None]:
        """
        Have jobs cancelled and wait for their end. Jobs whose end is not confirmed are named in the log.

        Parameters
        ----------
        job_ids
            The jobs.
        give_up_at
            How long to wait, by the monotonic clock.
        told
            Those among them that the scheduler was asked to cancel recently. They are not cancelled again, since PBS
            counts the time until it kills a job from the last request.
        marks
            Marks of jobs that may have been submitted and have no id. They are looked for and cancelled as well.

        Returns
        -------
        The last record of each job; None for a job that is not over.
        """
        ended: dict[str, JobRecord | None] = dict.fromkeys(job_ids)
        untold = [job_id for job_id in ended if job_id not in told]
        pause_seconds, looking_for = _FIRST_CONFIRM_SECONDS, set(marks)
        while True:
            try:
                if untold:
                    self._scheduler.cancel(untold)
                    untold = []
                if left := [job_id for job_id, record in ended.items() if record is None]:
                    records = self._scheduler.look(left)
                    ended |= {job_id: record for job_id, record in records.items() if record.over}
                if looking_for:  # last, so that no job is left because marks are not told
                    untold, looking_for = self._found(looking_for, ended), set()
            except SchedulerSilentError as error:
                logger.info("%s does not answer: %s", self._scheduler.name, error)
            left = [job_id for job_id, record in ended.items() if record is None]
            if not left and not looking_for:
                return ended
            if time.monotonic() > give_up_at:
                self._warn_of(left, looking_for)
                return ended
            time.sleep(pause_seconds)
            pause_seconds = min(1.5 * pause_seconds, _LONGEST_CONFIRM_SECONDS)

    def _found(self, marks: Collection[str], ended: dict[str, JobRecord | None]) -> list[str]:
        found = [job_id for job_id, mark in self._scheduler.marked_jobs().items() if mark in marks]
        new = [job_id for job_id in found if job_id not in ended]
        ended |= dict.fromkeys(new)
        return new

    def _warn_of(self, job_ids: Sequence[str], marks: Collection[str]) -> None:
        if job_ids:
            logger.warning(
                "%s has not confirmed the end of job %s; check whether it still exists.",
                *(self._scheduler.name, ", ".join(job_ids)),
            )
        if marks:
            logger.warning(
                "%s has not answered. The job that was submitted last, with the mark %s, may exist.",
                *(self._scheduler.name, ", ".join(sorted(marks))),
            )

    def _poll(self, job_ids: Sequence[str], *, find_marks: bool) -> PollAnswer:
        asked_at = time.monotonic()
        records = self._scheduler.look(job_ids) if job_ids else {}
        return PollAnswer(asked_at, records, self._marks() if find_marks else None)

    def _marks(self) -> dict[str, str] | None:
        """Ask for marks; where they are not told, what is known of the jobs that have an id is told all the same."""
        try:
            return {mark: job_id for job_id, mark in self._scheduler.marked_jobs().items()}
        except SchedulerSilentError as error:
            logger.warning(
                "%s does not tell whether it has taken a job whose submission it has not answered: %s",
                *(self._scheduler.name, error),
            )
            return None

    def _run(
        self, command: Callable[[], Answer], then: Callable[[Answer | Exception], None], script: Path | None = None
    ) -> None:
        def run() -> None:
            try:
                if self._finishing.is_set():
                    return
                answer: Answer | Exception = command()
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                answer = error
            finally:
                if script is not None:
                    _remove(script)
            self._report(lambda: then(answer))

        if self._finishing.is_set():
            run()  # Only remove the script.
        else:
            self._last = self._threads.submit(run)


def _remove(script: Path) -> None:
    try:
        script.unlink(missing_ok=True)
    except OSError as error:  # whoever has asked for the submission is told of its answer all the same
        logger.info("The job script %s could not be removed: %s", script, error)

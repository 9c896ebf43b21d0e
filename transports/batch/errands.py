"""Asks of the batch scheduler, one after another in a thread of their own: a command may take a minute."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from climate_ref_prefect.transports.batch.scheduler import BatchScheduler, JobRecord, SchedulerSilentError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_CONFIRM_SECONDS: Final = 0.3


class Errands:
    """
    Runs commands of the scheduler and reports what came of them.

    Parameters
    ----------
    scheduler
        Whose commands.
    report
        Takes calls to be made where the pool's state may be changed.
    """

    def __init__(self, scheduler: BatchScheduler, report: Callable[[Callable[[], None]], None]) -> None:
        self._scheduler = scheduler
        self._report = report
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="ask-scheduler")
        self._last: Future[None] | None = None
        self._finishing = threading.Event()

    def submit(self, script: Path, then: Callable[[str | Exception], None]) -> None:
        """Submit a job script, remove it, and report the id of the job or why there is none."""
        self._run(lambda: self._scheduler.submit(script), then, script)

    def look(self, job_ids: Sequence[str], then: Callable[[dict[str, JobRecord] | Exception], None]) -> None:
        """Ask about jobs and report what was said."""
        self._run(lambda: self._scheduler.look(job_ids), then)

    def cancel(self, job_ids: Sequence[str], then: Callable[[Exception | None], None]) -> None:
        """Have jobs ended."""
        self._run(lambda: self._scheduler.cancel(job_ids), then)

    def finish(self, give_up_at: float) -> None:
        """Start nothing more, and wait for what is under way, so that no job is submitted after this unheard of."""
        self._finishing.set()  # a future that is cancelled in its queue never wakes who waits for it
        self._threads.shutdown(wait=False)
        if self._last is not None:
            _, late = wait([self._last], max(0.0, give_up_at - time.monotonic()))
            if late:
                logger.warning("%s has not answered; there may be a job that it took last.", self._scheduler.name)

    def end_jobs(self, job_ids: Sequence[str], give_up_at: float) -> dict[str, JobRecord | None]:
        """
        Have jobs ended and wait for that; return what was said of each last, none of those that are not over.

        Those are named in the log.
        """
        ended: dict[str, JobRecord | None] = dict.fromkeys(job_ids)
        left = list(job_ids)
        while True:
            with suppress(SchedulerSilentError):
                self._scheduler.cancel(left)  # also without any: there may be some whose submission was not answered
                if left and time.monotonic() < give_up_at:
                    ended |= {job_id: record for job_id, record in self._scheduler.look(left).items() if record.over}
            left = [job_id for job_id, record in ended.items() if record is None]
            if not left:
                return ended
            if time.monotonic() > give_up_at:
                logger.warning(
                    "%s has not confirmed the end of job %s; see whether it is still there.",
                    *(self._scheduler.name, ", ".join(left)),
                )
                return ended
            time.sleep(_CONFIRM_SECONDS)

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
                    script.unlink(missing_ok=True)
            self._report(lambda: then(answer))

        if self._finishing.is_set():
            run()  # only to remove the script
        else:
            self._last = self._threads.submit(run)

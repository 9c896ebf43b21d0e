"""Asks of the batch scheduler, one after another in a thread of their own: a command may take a minute."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final, TypeVar

from climate_ref_prefect.transports.batch.scheduler import BatchScheduler, JobRecord, SchedulerSilentError

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
            wait([self._last], max(0.0, give_up_at - time.monotonic()))

    def end_jobs(self, job_ids: Sequence[str], give_up_at: float) -> list[str]:
        """Have jobs ended and wait for that; return those whose end is not confirmed in time."""
        left = list(job_ids)
        while left:
            try:
                self._scheduler.cancel(left)
                if time.monotonic() > give_up_at:
                    break
                records = self._scheduler.look(left)
                left = [job_id for job_id in left if not (job_id in records and records[job_id].over)]
            except SchedulerSilentError:
                pass
            if time.monotonic() > give_up_at:
                break
            if left:
                time.sleep(_CONFIRM_SECONDS)
        return left

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

"""Executions as child processes of this machine: started as a packing admits them, waited for all at once."""

import os
import selectors
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.base import cancelled_early
from climate_ref_prefect.transports.packing import Packing
from climate_ref_prefect.transports.port import Ended, Submission
from climate_ref_prefect.transports.worker.client import RunningExecution
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.execute import ServerPool, begin, begin_if_ready, finish

_STARTING_AT_ONCE = 8


class Children:
    """
    The executions of one open transport that run on this machine.

    Parameters
    ----------
    packing
        Says which of them may run together.
    servers
        Start them; closed with this.
    """

    def __init__(self, packing: Packing[Path], servers: ServerPool) -> None:
        self._packing = packing
        self._submissions: dict[Path, Submission] = {}
        self._running: dict[Path, RunningExecution] = {}
        self._cancelled: set[Path] = set()
        self._ended: deque[Ended] = deque()
        self._lock = threading.RLock()
        self._closed = False
        self._servers = servers
        # A provider's import takes a while, or hangs: it must not hold up the others.
        self._starters = ThreadPoolExecutor(_STARTING_AT_ONCE, thread_name_prefix="start-execution")
        self._selector = selectors.DefaultSelector()
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_writing, False)
        self._selector.register(self._wake_reading, selectors.EVENT_READ)

    def submit(self, submission: Submission, resources: ResourceHint) -> None:
        """Queue an execution; one that is here already is not taken twice."""
        with self._lock:
            if submission.directory in self._submissions:
                return
            self._submissions[submission.directory] = submission
            self._packing.add(submission.directory, resources)
            self._start_what_fits()

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""
        give_up_at = monotonic() + timeout_seconds
        while not self._ended:
            remaining = give_up_at - monotonic()
            for key, _ in self._selector.select(max(0.0, remaining)):
                if key.fd == self._wake_reading:
                    os.read(self._wake_reading, 1 << 12)
                else:
                    self._hear(key.data)
            if remaining <= 0:
                break
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
            return ended

    def cancel(self, directory: Path) -> None:
        """Stop an execution, or keep it from starting."""
        with self._lock:
            if directory not in self._submissions:
                return
            self._cancelled.add(directory)
            if self._packing.is_waiting(directory):
                self._end(directory, cancelled_early(directory))
            elif running := self._running.get(directory):
                running.cancel()

    def close(self, timeout_seconds: float) -> None:
        """Stop everything, waiting up to `timeout_seconds` for it to be over; what is not ends by itself soon after."""
        give_up_at = monotonic() + timeout_seconds
        with self._lock:
            for directory in list(self._submissions):
                self.cancel(directory)
        try:
            while self._running and monotonic() < give_up_at:
                self.wait(min(0.2, max(0.0, give_up_at - monotonic())))
        finally:  # who interrupts this does not wait, but nothing goes on without a caller
            self._let_go()
        self._starters.shutdown(cancel_futures=True)

    def _let_go(self) -> None:
        with self._lock:
            self._closed = True
            for running in self._running.values():
                running.close()
            self._selector.close()
            os.close(self._wake_reading)
            os.close(self._wake_writing)
        self._servers.close()

    def _start_what_fits(self) -> None:
        for directory in self._packing.admit():
            running = begin_if_ready(ExecutionDirectory(directory), self._servers)
            if running is not None:
                self._listen(directory, running)
            else:
                self._starters.submit(self._start, directory)

    def _start(self, directory: Path) -> None:
        begun = begin(ExecutionDirectory(directory), self._servers)
        if isinstance(begun, RunningExecution):
            self._listen(directory, begun)
        else:
            self._end(directory, begun)

    def _listen(self, directory: Path, running: RunningExecution) -> None:
        with self._lock:
            if self._closed:
                running.close()
                return
            self._running[directory] = running
            self._selector.register(running, selectors.EVENT_READ, directory)
            if directory in self._cancelled:
                running.cancel()

    def _hear(self, directory: Path) -> None:
        running = self._running[directory]
        if running.receive():
            self._selector.unregister(running)
            self._end(directory, finish(running))

    def _end(self, directory: Path, outcome: ExecutionOutcome) -> None:
        with self._lock:
            if self._closed:
                return
            self._packing.release(directory)
            self._running.pop(directory, None)
            self._cancelled.discard(directory)
            submission = self._submissions.pop(directory)
            self._ended.append(Ended(submission=submission, outcome=outcome))
            self._start_what_fits()
            with suppress(BlockingIOError):  # full of earlier calls to wake up: one is enough
                os.write(self._wake_writing, b".")

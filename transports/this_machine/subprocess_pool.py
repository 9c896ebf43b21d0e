"""A pool of executions in child processes of this machine, started as the packing admits them."""

import logging
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.host.process_tree import is_stopped
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ServerPool, begin, begin_if_ready, finish
from climate_ref_prefect.execution.worker.running_execution import RunningExecution
from climate_ref_prefect.transports.base_transport import cancelled_early
from climate_ref_prefect.transports.port import Ended, Submission
from climate_ref_prefect.transports.resource_packing import Packing

_STARTING_AT_ONCE = 8
_FORCE_SECONDS = 5.0
"""How long `close` may take at most to kill executions that have not answered."""
_SOME_SECONDS = 0.5
logger = logging.getLogger(__name__)


class SubprocessPool:
    """
    The executions of one open transport that run on this machine.

    Parameters
    ----------
    packing
        Decides which executions may run at the same time.
    servers
        The provider servers that start them, closed together with this pool.
    """

    def __init__(self, packing: Packing[Path], servers: ServerPool) -> None:
        self._packing = packing
        self._submissions: dict[Path, Submission] = {}
        self._running: dict[Path, RunningExecution] = {}
        self._cancelled: set[Path] = set()
        self._forced: set[Path] = set()
        self.unended: dict[Path, list[int]] = {}
        """The processes of executions that could not be killed."""
        self._started: deque[Path] = deque()
        self._ended: deque[Ended] = deque()
        self._lock = threading.RLock()
        self._closed = False
        self._servers = servers
        # Importing a provider may take long or hang, and must not delay the others.
        self._starters = ThreadPoolExecutor(_STARTING_AT_ONCE, thread_name_prefix="start-execution")
        self._selector = selectors.DefaultSelector()
        self._wake_reading, self._wake_writing = os.pipe()
        os.set_blocking(self._wake_writing, False)
        self._selector.register(self._wake_reading, selectors.EVENT_READ)

    def submit(self, submission: Submission, resources: ResourceHint) -> None:
        """Queue an execution. One that is in the pool already is not queued again."""
        with self._lock:
            if submission.directory in self._submissions:
                return
            self._submissions[submission.directory] = submission
            self._packing.add(submission.directory, resources)
            self._start_what_fits()

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return the executions that have ended, and wait up to `timeout_seconds` for the first."""
        give_up_at = monotonic() + timeout_seconds
        self._look_for_overdue()
        while not self._ended:
            remaining = give_up_at - monotonic()
            for key, _ in self._selector.select(max(0.0, remaining)):
                if key.fd == self._wake_reading:
                    os.read(self._wake_reading, 1 << 12)
                else:
                    self._receive(key.data)
            if remaining <= 0:
                break
        with self._lock:
            ended = list(self._ended)
            self._ended.clear()
            return ended

    def new_starts(self) -> list[Path]:
        """Return the directories of executions whose supervisors have been started since the last call."""
        with self._lock:
            started = list(self._started)
            self._started.clear()
            return started

    def cancel(self, directory: Path) -> None:
        """Cancel an execution, whether it runs or waits."""
        with self._lock:
            if directory not in self._submissions:
                return
            self._cancelled.add(directory)
            if self._packing.is_waiting(directory):
                self._end(directory, cancelled_early(directory))
            elif running := self._running.get(directory):
                running.cancel()

    def close(self, timeout_seconds: float) -> None:
        """
        Cancel everything, wait up to `timeout_seconds` for the end, and then kill what is left.

        A process that hangs in the kernel survives that. The log and `unended` name it.
        """
        give_up_at = monotonic() + timeout_seconds
        with self._lock:
            for directory in list(self._submissions):
                self.cancel(directory)
        try:
            while self._running and monotonic() < give_up_at:
                self.wait(min(0.2, max(0.0, give_up_at - monotonic())))
            self._end_by_force(list(self._running.values()), _FORCE_SECONDS)
        finally:  # An interrupt ends the waiting. The executions end as well, because their caller is gone.
            self._let_go()
        self._starters.shutdown(cancel_futures=True)

    def _let_go(self) -> None:
        with self._lock:
            self._closed = True
            self._end_by_force([running for running in self._running.values() if _is_stopped(running)], 0.0)
            for running in self._running.values():
                running.close()
            self._selector.close()
            os.close(self._wake_reading)
            os.close(self._wake_writing)
        self._servers.close()

    def _end_by_force(self, left: Iterable[RunningExecution], timeout_seconds: float) -> None:
        give_up_at = monotonic() + timeout_seconds
        for running in left:
            running.end_by_force(max(_SOME_SECONDS, give_up_at - monotonic()))
            if running.survivors:
                self.unended[running.directory.path] = list(running.survivors)
                logger.error(
                    "The execution in %s could not be ended: processes %s of %s hang in the kernel, for example on a "
                    "file system that does not answer. Its attempt stays open until they are gone.",
                    running.directory.path,
                    ", ".join(map(str, running.survivors)),
                    socket.gethostname(),
                )

    def _look_for_overdue(self) -> None:
        """Kill the executions whose supervisors should have answered by now and have not."""
        with self._lock:
            overdue = {path: running for path, running in self._running.items() if running.is_overdue()}
            for path in overdue.keys() - self._forced:
                self._forced.add(path)
                self._selector.unregister(overdue[path])
                self._starters.submit(self._finish, path, overdue[path])

    def _finish(self, directory: Path, running: RunningExecution) -> None:
        outcome = finish(running)
        if running.survivors:
            self.unended[directory] = list(running.survivors)
        self._end(directory, outcome)

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
            self._started.append(directory)
            self._selector.register(running, selectors.EVENT_READ, directory)
            if directory in self._cancelled:
                running.cancel()

    def _receive(self, directory: Path) -> None:
        running = self._running.get(directory)
        if running is not None and directory not in self._forced and running.receive():
            self._selector.unregister(running)
            self._end(directory, finish(running))

    def _end(self, directory: Path, outcome: ExecutionOutcome) -> None:
        with self._lock:
            if self._closed:
                return
            self._packing.release(directory)
            self._running.pop(directory, None)
            self._cancelled.discard(directory)
            self._forced.discard(directory)
            submission = self._submissions.pop(directory)
            self._ended.append(Ended(submission=submission, outcome=outcome))
            self._start_what_fits()
            with suppress(BlockingIOError):  # The pipe is full of earlier wake-up bytes, and one is enough.
                os.write(self._wake_writing, b".")


def _is_stopped(running: RunningExecution) -> bool:
    """Whether its supervisor has been stopped, so that it would not notice that its caller is gone."""
    return running.pid is not None and is_stopped(running.pid)

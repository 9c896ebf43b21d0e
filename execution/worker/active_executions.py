"""Active executions: those that run in this process or below it, to be cancelled or awaited by other threads."""

import threading
import time
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ENVELOPE_TIMEOUT_SECONDS, ServerPool, begin, finish
from climate_ref_prefect.execution.worker.running_execution import RunningExecution


class ActiveExecutions:
    """
    Runs executions, each in the thread that calls `execute`, and lets other threads cancel and await them.

    Parameters
    ----------
    servers
        The provider servers that start them; by default some of its own. They are closed together with this.
    envelope_timeout_seconds
        How long a shared file system may take to show an envelope.
    """

    def __init__(self, servers: ServerPool | None = None, envelope_timeout_seconds: float = 0.0) -> None:
        self._servers = servers or ServerPool()
        self._envelope_timeout_seconds = envelope_timeout_seconds
        self._lock = threading.Condition()
        self._running: dict[Path, RunningExecution | None] = {}
        """The active executions by directory. The value is None while the provider is being imported."""
        self._cancelled: set[Path] = set()

    def execute(self, path: Path) -> ExecutionOutcome:
        """Run the execution in a directory to its end, registered so that the other methods find it."""
        with self._lock:
            self._running[path] = None
        try:
            return self._execute(path)
        finally:
            with self._lock:
                del self._running[path]
                self._cancelled.discard(path)
                self._lock.notify_all()

    def cancel(self, path: Path) -> bool:
        """Cancel an execution. Returns whether it is active; one that is not is ignored."""
        with self._lock:
            if path not in self._running:
                return False
            self._cancelled.add(path)
            running = self._running[path]
        if running is not None:
            running.cancel()
        return True

    def cancel_all(self) -> None:
        """Cancel all active executions."""
        with self._lock:
            paths = list(self._running)
        for path in paths:
            self.cancel(path)

    def end_all(self) -> None:
        """Ask all active executions to end because the batch job is about to end."""
        with self._lock:
            running = [item for item in self._running.values() if item is not None]
        for item in running:
            item.end()

    def wait_until_none(self, timeout_seconds: float | None = None) -> bool:
        """Wait until no execution is active. Returns whether that happened in time."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._running, timeout_seconds)

    def close_servers(self) -> None:
        """End the servers of the providers, which also ends the import of a provider that hangs."""
        self._servers.close()

    def close(self, timeout_seconds: float) -> None:
        """Cancel all active executions, wait for those that have begun, and end the servers of the providers."""
        give_up_at = time.monotonic() + timeout_seconds
        self.cancel_all()
        with self._lock:
            self._lock.wait_for(lambda: not any(self._running.values()), timeout_seconds)
        self.close_servers()
        self.wait_until_none(max(0.0, give_up_at - time.monotonic()))

    def _execute(self, path: Path) -> ExecutionOutcome:
        begun = begin(ExecutionDirectory(path), self._servers, self._envelope_timeout_seconds)
        if not isinstance(begun, RunningExecution):
            return begun
        with self._lock:
            self._running[path] = begun
            cancelled = path in self._cancelled
        if cancelled:
            begun.cancel()
        return finish(begun)


OF_THIS_PROCESS: Final = ActiveExecutions(envelope_timeout_seconds=ENVELOPE_TIMEOUT_SECONDS)
"""Those of the pilot of a batch job, which runs them for a coordinator on another host."""


def execute_active(path: str) -> str:
    """
    Run the execution in a directory as one of `OF_THIS_PROCESS`.

    A Dask worker calls this. It returns the outcome as JSON, so that neither the argument nor the result needs a
    class of this package to be read.
    """
    return OF_THIS_PROCESS.execute(Path(path)).to_json()


def cancel_active(path: str) -> None:
    """Cancel one of `OF_THIS_PROCESS`, as `execute_active` has begun it. One that does not run here is ignored."""
    OF_THIS_PROCESS.cancel(Path(path))

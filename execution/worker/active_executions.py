"""Active executions: what this process runs for a coordinator on another host, to be cancelled or awaited."""

import threading
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ENVELOPE_TIMEOUT_SECONDS, ServerPool, begin, finish
from climate_ref_prefect.execution.worker.running_execution import RunningExecution

_lock: Final = threading.Condition()
_running: Final[dict[Path, RunningExecution | None]] = {}
"""The active executions by directory. The value is None while the provider is being imported."""
_cancelled: Final[set[Path]] = set()
_pool: Final = ServerPool()


def execute_active(path: str) -> str:
    """
    Run the execution in a directory, registered so that the other functions of this module find it.

    A Dask worker calls this. It returns the outcome as JSON, so that neither the argument nor the result needs a
    class of this package to be read.
    """
    directory = Path(path)
    with _lock:
        _running[directory] = None
    try:
        return _execute(directory).to_json()
    finally:
        with _lock:
            del _running[directory]
            _cancelled.discard(directory)
            _lock.notify_all()


def cancel_active(path: str) -> None:
    """Cancel an execution that runs in this process. One that does not run here is ignored."""
    directory = Path(path)
    with _lock:
        if directory not in _running:
            return
        _cancelled.add(directory)
        running = _running[directory]
    if running is not None:
        running.cancel()


def end_all_active() -> None:
    """Ask all active executions to end because the batch job is about to end."""
    with _lock:
        running = [item for item in _running.values() if item is not None]
    for item in running:
        item.end()


def cancel_all_active() -> None:
    """Cancel all active executions."""
    with _lock:
        paths = list(_running)
    for path in paths:
        cancel_active(str(path))


def wait_until_none_active(timeout_seconds: float | None = None) -> bool:
    """Wait until no execution is active. Returns whether that happened in time."""
    with _lock:
        return _lock.wait_for(lambda: not _running, timeout_seconds)


def close_servers() -> None:
    """End the servers of the providers."""
    _pool.close()


def _execute(path: Path) -> ExecutionOutcome:
    directory = ExecutionDirectory(path)
    begun = begin(directory, _pool, ENVELOPE_TIMEOUT_SECONDS)
    if not isinstance(begun, RunningExecution):
        return begun
    with _lock:
        _running[path] = begun
        cancelled = path in _cancelled
    if cancelled:
        begun.cancel()
    return finish(begun)

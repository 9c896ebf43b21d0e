"""What a pool needs of the connection to its workers; Dask's is `transports/batch/dask/link.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from climate_ref_prefect.execution.outcome import ExecutionOutcome


class Listener(Protocol):
    """Who is told that workers come and go; called in a thread of the connection's, so it must not wait."""

    def worker_came(self, name: str, address: str, age_seconds: float) -> None:
        """Hear that the worker of a job has connected, so long after the job's start."""
        ...

    def worker_went(self, name: str, address: str) -> None:
        """Hear that the connection to the worker of a job, at this address, is gone."""
        ...


class WorkerLink(Protocol):
    """The connection to all workers of one pool."""

    @property
    def address(self) -> str:
        """Where workers find the coordinator."""
        ...

    def run(self, address: str, directory: Path, then: Callable[[ExecutionOutcome | Exception], None]) -> None:
        """Have a worker run an execution; `then` takes its outcome, or why none came, in some thread."""
        ...

    def cancel(self, address: str, directory: Path) -> None:
        """Have a worker stop an execution; returns at once."""
        ...

    def retire(self, address: str) -> None:
        """Have a worker end in which nothing runs; returns at once."""
        ...

    def close(self) -> None:
        """Stop listening; workers that are still there end by themselves."""
        ...

"""The interface between a pool and its workers, which `transports/batch/dask/worker_link.py` implements with Dask."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from climate_ref_prefect.execution.outcome import ExecutionOutcome


class Listener(Protocol):
    """Is called, in the connection's thread, when workers connect and disconnect. It must not block."""

    def on_worker_connected(self, name: str, address: str, age_seconds: float) -> None:
        """Receive that the worker of a job has connected, `age_seconds` after the start of the job."""
        ...

    def on_worker_disconnected(self, name: str, address: str) -> None:
        """Receive that the connection to the worker of a job at this address is lost."""
        ...


class WorkerLink(Protocol):
    """The connection to all workers of one pool."""

    @property
    def address(self) -> str:
        """The address at which workers reach the coordinator."""
        ...

    def run(self, address: str, directory: Path, then: Callable[[ExecutionOutcome | Exception], None]) -> None:
        """Have a worker run an execution. `then` is called in any thread with its outcome, or with the error."""
        ...

    def cancel(self, address: str, directory: Path) -> None:
        """Have a worker stop an execution; returns at once."""
        ...

    def retire(self, address: str) -> None:
        """Have an idle worker exit; returns at once."""
        ...

    def close(self) -> None:
        """Stop listening. Workers that are still connected exit by themselves."""
        ...

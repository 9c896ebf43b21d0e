"""How the contract suite drives a transport: the allowances of a backend, and an open transport."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.port import Ended, Submission, Transport
from climate_ref_prefect.transports.transport_driver import TransportDriver

_THREADS = 16


@dataclass(frozen=True)
class Allowances:
    """The differences that are allowed between backends."""

    timeout_seconds: float = 20.0
    """How long any event may take."""

    close_seconds: float = 10.0
    """How long closing may take."""

    side_by_side: bool = True
    """Whether executions run at the same time."""

    on_this_host: bool = True
    """Whether processes run here, where a test can look at them."""


@dataclass(frozen=True)
class Backend:
    """A transport under test; a new one is one more of these."""

    name: str
    open: Callable[[], Transport]
    """Make a transport with room for several executions, where it ever has."""
    open_narrow: Callable[[], Transport]
    """Make one with room for a single execution: others are queued."""
    allowances: Allowances = Allowances()


class Driving:
    """An open transport, its driver, and threads that wait for executions as those of a flow do."""

    def __init__(self, transport: Transport, allowances: Allowances) -> None:
        self.transport = transport
        self.allowances = allowances
        self._started: list[Path] = []
        self._driver = TransportDriver(transport)
        self._threads = ThreadPoolExecutor(_THREADS)

    def start(self, directory: Path, resources: ResourceHint) -> Future[ExecutionOutcome]:
        """Have an execution run."""
        self._started.append(directory)
        return self._threads.submit(self._driver.run, directory, resources)

    def run(self, directory: Path, resources: ResourceHint) -> ExecutionOutcome:
        """Run an execution to its end."""
        return self.start(directory, resources).result(self.allowances.timeout_seconds)

    def run_all(self, executions: Sequence[tuple[Path, ResourceHint]]) -> list[ExecutionOutcome]:
        """Run some executions at once."""
        futures = [self.start(*execution) for execution in executions]
        return [future.result(self.allowances.timeout_seconds) for future in futures]

    def wait_for(self, *paths: Path) -> None:
        """Wait until files of an execution have appeared."""
        wait_until(lambda: all(path.exists() for path in paths), self.allowances.timeout_seconds)

    def cancel_all(self) -> None:
        """Cancel what runs and waits."""
        for directory in self._started:
            self.transport.cancel(Submission(transport=self.transport.name, directory=directory))

    def close(self) -> None:
        """Close the transport, which releases all waiting callers."""
        self._driver.close(self.allowances.close_seconds)
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def bare(transport: Transport, allowances: Allowances) -> Iterator[Transport]:
    """Open a transport without a driver, to use the port's own methods."""
    try:
        yield transport
    finally:
        transport.close(allowances.close_seconds)


def collect(transport: Transport, number: int, allowances: Allowances) -> list[Ended]:
    """Return the next `number` of ends that a transport reports."""
    ended: list[Ended] = []

    def all_there() -> bool:
        ended.extend(transport.wait(0.2))
        return len(ended) >= number

    wait_until(all_there, allowances.timeout_seconds)
    return ended


def without_place(outcome: ExecutionOutcome | None) -> ExecutionOutcome:
    """Return an outcome without the telemetry that depends on the backend."""
    assert outcome is not None
    return outcome.model_copy(update={"telemetry": outcome.telemetry.model_copy(update={"transport_meta": {}})})


def kind_of(outcome: ExecutionOutcome | None) -> FailureKind | None:
    """Return why it failed; none if it succeeded."""
    assert outcome is not None
    return outcome.failure.kind if outcome.failure else None


def message_of(outcome: ExecutionOutcome) -> str:
    """Return what an execution that failed says about it."""
    assert outcome.failure is not None
    return outcome.failure.message


def environment_of(directory: Path) -> dict[str, str]:
    """Return the environment that the diagnostic `environment` has seen."""
    seen: dict[str, str] = json.loads((directory / "output" / "environment").read_text(encoding="utf-8"))
    return seen

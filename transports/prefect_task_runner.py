"""The Prefect task runner for all transports."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, Self

from prefect.client.schemas.objects import State, StateType
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.transport_driver import TransportDriver

_CLOSE_SECONDS = 10.0
_LONGEST_MESSAGE = 500
"""Characters of a failure that a state shows; the outcome has all of them."""


class Runnable(Protocol):
    """What the `execution` parameter of a task submitted here must offer."""

    outcome: ExecutionOutcome | None
    """Set when it has ended. It is not the task's result, because Prefect keeps results while the flow runs."""

    @property
    def directory(self) -> Path:
        """The execution's directory, in which its envelope lies."""
        ...

    @property
    def resources(self) -> ResourceHint:
        """The resources that the execution is granted."""
        ...


class TransportTaskRunner(TaskRunner[PrefectConcurrentFuture[None]]):
    """
    Runs tasks whose body must run on a transport.

    The task run itself stays here, in a thread: compute nodes never need to reach Prefect's API, and a lost node
    cannot leave a task run in the state Running. A task submitted here takes `label` and `execution` (a `Runnable`),
    and its body must be what a worker does: `execution.outcome = execute(execution.directory)`.

    Parameters
    ----------
    transport
        Where the executions run. It is opened by the first submission and closed with the runner.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.transport = transport
        self._driver = TransportDriver(transport)
        self._threads: ThreadPoolTaskRunner[None] = ThreadPoolTaskRunner(max_workers=transport.slots)

    def duplicate(self) -> Self:
        """Return a runner for the same transport."""
        return type(self)(self.transport)

    def submit(  # type: ignore[override]
        self,
        task: Task[Any, None],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        dependencies: dict[str, set[Any]] | None = None,
    ) -> PrefectConcurrentFuture[None]:
        """Start a task run here whose body runs on the transport."""
        return self._threads.submit(self._remote(task), parameters, wait_for, dependencies)

    def close(self) -> None:
        """Close the transport. A second call does nothing, or completes an interrupted first one."""
        self._driver.close(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        super().__enter__()
        self._threads.__enter__()
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        # The pool is closed first, because otherwise its waiting threads would be awaited.
        self.close()
        self._threads.__exit__(exc_type, exc_value, traceback)
        super().__exit__(exc_type, exc_value, traceback)

    def _remote(self, task: Task[Any, None]) -> Task[Any, None]:
        remote = copy.copy(task)
        # A state that a task returns becomes that of its run.
        remote.fn = self._run  # type: ignore[assignment]
        return remote

    def _run(self, label: str, execution: Runnable) -> State[None] | None:
        execution.outcome = self._driver.run(execution.directory, execution.resources)
        failure = execution.outcome.failure
        if failure is None:
            return None
        rule = FAILURE_RULES[failure.kind]
        first_line, *_ = failure.message.splitlines() or [""]
        message = f"{rule.title}: {first_line[:_LONGEST_MESSAGE]}"
        return State(type=StateType(rule.prefect_state.upper()), name=rule.prefect_state, message=message)

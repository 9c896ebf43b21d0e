"""The Prefect task runner for all transports."""

import asyncio
import copy
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar, TypeVarTuple

from prefect.client.schemas.objects import State, StateType
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.logging import get_run_logger
from prefect.states import Failed
from prefect.task_engine import run_task_async
from prefect.task_runners import TaskRunner
from prefect.tasks import Task

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.transports.failure_log import ONLY_ON_SERVER, explain_failure
from climate_ref_prefect.transports.port import Ended, SubmissionError, Transport
from climate_ref_prefect.transports.settle_outcome import lacks_outcome
from climate_ref_prefect.transports.task_run_loop import TaskRunLoop
from climate_ref_prefect.transports.transport_driver import TransportDriver

_CLOSE_SECONDS: Final = 10.0
_LONGEST_MESSAGE: Final = 500
"""Characters of a failure that a state shows; the outcome has all of them."""
_SETTLING_THREADS: Final = 4
"""How many outcomes are read at the same time. What waits for the file of its outcome takes none of them."""
_POLL_SECONDS: Final = 0.2


Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


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


@dataclass
class _TaskRun:
    """A task run that was submitted here, until it has ended."""

    task: Task[Any, None]
    parameters: dict[str, Any]
    wait_for: Iterable[PrefectFuture[Any]] | None
    dependencies: dict[str, set[Any]] | None
    context: Context = field(default_factory=copy_context)
    task_run_id: uuid.UUID = field(default_factory=uuid.uuid4)
    future: Future[Any] = field(default_factory=Future)
    ended: Future[Ended] = field(default_factory=Future)
    """The end of its execution, according to the backend."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    has_begun: bool = False

    def begin(self) -> bool:
        """Note that the task run begins. Returns False if it has begun already."""
        with self.lock:
            has_begun, self.has_begun = self.has_begun, True
        return not has_begun


class TransportTaskRunner(TaskRunner[PrefectConcurrentFuture[None]]):
    """
    Runs tasks whose body must run on a transport.

    The task run itself stays here, as a coroutine: compute nodes never need to reach Prefect's API, and a lost node
    cannot leave a task run in the state Running. It begins when a worker has begun with the execution, so that what
    waits for a place is not shown as running, and however many wait or run elsewhere, they share one thread.

    A task submitted here takes `label` and `execution` (a `Runnable`), and its body must be what a worker does:
    `execution.outcome = execute(execution.directory)`.

    Parameters
    ----------
    transport
        Where the executions run. It is opened by the first submission and closed with the runner.
    """

    def __init__(self, transport: Transport) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.transport = transport
        self._driver = TransportDriver(transport)
        self._opened: tuple[TaskRunLoop, ThreadPoolExecutor, ThreadPoolExecutor] | None = None

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
        """Hand an execution to the transport. Its task run begins when a worker has begun with it."""
        if not self._started:
            raise RuntimeError("The task runner must be started before submitting work.")
        if self._opened is None:
            self._opened = (
                TaskRunLoop(),
                ThreadPoolExecutor(1, "submit-executions"),
                ThreadPoolExecutor(_SETTLING_THREADS, "settle-executions"),
            )
        loop, submitter, _ = self._opened
        run = _TaskRun(task, parameters, wait_for, dependencies)
        submitter.submit(self._submit, run, loop)
        return PrefectConcurrentFuture(run.task_run_id, run.future)

    def close_transport(self) -> None:
        """Close the transport, which is bounded in time. A second call completes an interrupted first one."""
        self._driver.close(_CLOSE_SECONDS)

    def close(self) -> None:
        """Close the transport, and wait for its task runs. A second call completes an interrupted first one."""
        try:
            self.close_transport()
        finally:
            if self._opened is not None:
                loop, submitter, settlers = self._opened
                submitter.shutdown()
                loop.close()
                settlers.shutdown()

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        self.close()
        super().__exit__(exc_type, exc_value, traceback)

    def _submit(self, run: _TaskRun, loop: TaskRunLoop) -> None:
        """Submit an execution, in the one thread that waits for the transport to accept it."""
        execution: Runnable = run.parameters["execution"]

        def begin() -> None:
            if run.begin():
                loop.start(lambda: self._run_task(run), run.context)

        try:
            for upstream in run.wait_for or ():
                upstream.wait()
            ended = self._driver.submit(execution.directory, execution.resources, begin)
        except BaseException as error:  # noqa: BLE001 - the task run fails with it
            ended = Future()
            ended.set_exception(error)
        ended.add_done_callback(lambda ended: self._end(run, ended, begin))

    def _end(self, run: _TaskRun, ended: Future[Ended], begin: Callable[[], None]) -> None:
        """Hand the end of an execution to its task run. There is none of what never started and never will."""
        error = ended.exception()
        if error is not None and not isinstance(error, SubmissionError) and run.begin():
            run.future.set_result(Failed(message=str(error), data=error))
            return
        begin()
        if error is not None:
            run.ended.set_exception(error)
        else:
            run.ended.set_result(ended.result())

    async def _run_task(self, run: _TaskRun) -> None:
        try:
            state = await run_task_async(
                self._remote(run),
                task_run_id=run.task_run_id,
                parameters=run.parameters,
                wait_for=run.wait_for,
                return_type="state",
                dependencies=run.dependencies,
            )
        except BaseException as error:  # noqa: BLE001 - whoever waits for the task run gets it
            run.future.set_exception(error)
        else:
            run.future.set_result(state)

    def _remote(self, run: _TaskRun) -> Task[Any, Any]:
        async def follow(label: str, execution: Runnable) -> State[None] | None:
            execution.outcome = await self._outcome(execution.directory, run.ended)
            failure = execution.outcome.failure
            if failure is None:
                return None
            get_run_logger().error(
                await self._in_thread(explain_failure, failure, execution.directory), extra={ONLY_ON_SERVER: True}
            )
            return _state_of(failure)

        remote = copy.copy(run.task)
        remote.fn = follow  # type: ignore[assignment]
        remote.isasync = True
        return remote

    async def _outcome(self, directory: Path, future: Future[Ended]) -> ExecutionOutcome:
        try:
            ended = await asyncio.wrap_future(future)
        except SubmissionError as error:
            return await self._in_thread(self._driver.refused, directory, error)
        if lacks_outcome(ended):
            give_up_at = time.monotonic() + self.transport.outcome_patience_seconds
            has_outcome = ExecutionDirectory(directory).has_outcome
            while not await self._in_thread(has_outcome) and time.monotonic() < give_up_at:
                if self._driver.is_closing:
                    break
                await asyncio.sleep(_POLL_SECONDS)
        return await self._in_thread(self._driver.settle, directory, ended, 0.0)

    async def _in_thread(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Call what reads files in one of a few threads, so that a slow file system delays no other task run."""
        assert self._opened is not None  # noqa: S101 - the task run was submitted
        *_, threads = self._opened
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)


def _state_of(failure: ExecutionFailure) -> State[None]:
    """Return the state that the task run of a failure ends in. A state that a task returns becomes that of its run."""
    rule = FAILURE_RULES[failure.kind]
    first_line, *_ = failure.message.splitlines() or [""]
    message = f"{rule.title}: {first_line[:_LONGEST_MESSAGE]}"
    return State(type=StateType(rule.prefect_state.upper()), name=rule.prefect_state, message=message)

"""
The seven phases of an execution, in their order, and the one rule of what follows what.

Each phase is a Prefect task that is named by phase and execution, and a function of an attempt and a port: the
transport where it runs, or the writer of the recorder. Only `dispatch` needs both. The phases change the attempt that
they are given and return nothing: Prefect keeps what a task returns for as long as the flow runs.

Every attempt goes this way: one of this solve (`lifecycle.py`), one that a coordinator has left that died
(`recover_unfinished.py`), and one that is under way when the solve is stopped (`finalise_interrupted.py`).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, ParamSpec

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger

from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.worker.execute import execute
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.scratch_retention import apply_retention
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.workspace.directory_availability import DirectoryUnavailableError
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.errors import RecorderUnavailableError, ResultRefusedError
from climate_ref_prefect.store.port import Allocation, Writer
from climate_ref_prefect.transports.port import Transport

P = ParamSpec("P")
Phase = Task[..., None]
_TRANSIENT: Final = (OSError, DirectoryUnavailableError, RecorderUnavailableError)
_RETRY_DELAYS_SECONDS: Final = [0.5, 2.0]


def _is_transient(_: Task[Any, Any], __: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    if isinstance(error, ResultRefusedError):
        return FAILURE_RULES[error.kind].decision.is_retry
    return isinstance(error, _TRANSIENT)


def _keep_signature(function: Callable[..., None]) -> None:
    """Spare Prefect the work of finding the signature of a function, which it does twice in each task run."""
    function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]


def _phase(function: Callable[P, None]) -> Task[P, None]:
    _keep_signature(function)
    return task(
        name=function.__name__,
        task_run_name=f"{function.__name__} {{label}}",
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(_RETRY_DELAYS_SECONDS),
        retry_delay_seconds=list(_RETRY_DELAYS_SECONDS),
        retry_condition_fn=_is_transient,
    )(function)


class Batch:
    """Some planned executions, and, once they are allocated, their attempts."""

    def __init__(self, planned: Sequence[PlannedExecution], workspace: Workspace) -> None:
        self.planned = planned
        self.workspace = workspace
        self.attempts: list[Attempt] = []


@_phase
def allocate(label: str, batch: Batch, writer: Writer) -> None:
    """Record groups, executions and data sets of a batch, in one transaction."""
    allocated = writer.allocate(
        [
            Allocation(
                definition=item.definition,
                resources=item.granted,
                attempt=item.counts.attempts + 1,
                replaces=item.replaces,
            )
            for item in batch.planned
        ]
    )
    batch.attempts = [
        Attempt(record, batch.workspace, item.counts, item.provider, item.previous_failure)
        for record, item in zip(allocated, batch.planned, strict=True)
    ]


@_phase
def dispatch(label: str, attempt: Attempt, transport: Transport, writer: Writer) -> None:
    """Leave the envelope where the worker will look for it, and record what is given."""
    envelope = ExecutionEnvelope(
        execution_id=attempt.execution_id,
        fragment=attempt.record.fragment,
        provider=attempt.provider,
        definition=attempt.definition,
        resources=transport.check(attempt.resources),
        limits=transport.limits,
        output_directory=attempt.output_directory,
    )
    with attempt.workspace.scratch_place.guarded(part=attempt.definition.provider):
        attempt.files.write_envelope(envelope)
    writer.mark_dispatched(attempt.execution_id, envelope.resources, transport.name)
    attempt.envelope = envelope


@task(name="run", task_run_name="run {label}", cache_policy=NO_CACHE, persist_result=False)
def run(label: str, execution: Attempt) -> None:
    """Run the diagnostic. Only this phase leaves the coordinator. It is retried by classification, never as a task."""
    execution.outcome = execute(execution.directory)


_keep_signature(run.fn)


@_phase
def classify(label: str, attempt: Attempt, transport: Transport) -> None:
    """Decide what the outcome means."""
    assert attempt.outcome is not None  # noqa: S101 - the run phase has set it
    attempt.verdict = attempt.policy.classify(attempt.outcome, attempt.resources, attempt.counts, transport.check)


@contextmanager
def _directories_guarded(attempt: Attempt) -> Iterator[None]:
    """Tell faults of the directories from what a recorder says of the results of one execution."""
    workspace = attempt.workspace
    try:
        with workspace.results_place.guarded(part=attempt.definition.provider, others_pass=True):
            yield
    except (ResultRefusedError, OSError):
        workspace.scratch_place.check()  # If scratch is not available, nothing is known about the output.
        raise


@_phase
def publish(label: str, attempt: Attempt, writer: Writer) -> None:
    """Have the recorder bring the results to where they stay."""
    with _directories_guarded(attempt):
        attempt.results_path = writer.publish(attempt.finished)
    attempt.is_published = True


@_phase
def ingest(label: str, attempt: Attempt, writer: Writer) -> None:
    """Have the recorder check the results and record them."""
    with _directories_guarded(attempt):
        warnings = writer.ingest(attempt.finished, attempt.results_path)
    for warning in warnings:
        get_run_logger().error("%s: %s", attempt.label, warning)
    attempt.is_ingested = True


@_phase
def finalise(label: str, attempt: Attempt, writer: Writer) -> None:
    """Record how the attempt ended, apply the dirty rule and tidy its scratch directory."""
    writer.finalise(attempt.execution_id, attempt.finalisation())
    apply_retention(attempt)
    attempt.is_finalised = True


PHASES: Final[tuple[Phase, ...]] = (allocate, dispatch, run, classify, publish, ingest, finalise)


def next_phase(attempt: Attempt) -> Phase | None:
    """
    Return the phase that comes next for an attempt that has been allocated; none after the last.

    A result that is refused while it is published or ingested makes the attempt a failure, which is classified anew.
    """
    if attempt.is_finalised:
        return None
    if attempt.outcome is None:
        return dispatch if attempt.envelope is None else run
    if attempt.verdict is None:
        return classify
    if attempt.verdict.succeeded and not attempt.is_published:
        return publish
    if attempt.verdict.succeeded and not attempt.is_ingested:
        return ingest
    return finalise


def fail_if_refused(attempt: Attempt, error: BaseException) -> None:
    """
    Make an attempt a failure whose results were refused by `publish` or `ingest`.

    Raises
    ------
    BaseException
        The error itself, where it says nothing about these results.
    """
    if isinstance(error, ResultRefusedError):
        attempt.fail(error.kind, str(error))
    elif isinstance(error, OSError | MemoryError):
        attempt.fail(FailureKind.PUBLISH_FAILED, f"{type(error).__name__}: {error}")
    else:
        raise error


def complete(attempt: Attempt, call: Callable[[Phase, Attempt], None]) -> None:
    """
    Take an attempt that has an outcome through the phases that remain, in this thread.

    Parameters
    ----------
    attempt
        Another one, if there is to be one, is for the plan that follows.
    call
        Calls a phase for an attempt.
    """
    while (phase := next_phase(attempt)) is not None:
        try:
            call(phase, attempt)
        except Exception as error:
            if phase not in (publish, ingest):
                raise
            fail_if_refused(attempt, error)

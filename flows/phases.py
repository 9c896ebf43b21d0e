"""
The seven phases, each a Prefect task that is named by phase and execution.

They change the attempt that they are given and return nothing: Prefect keeps what a task returns for as
long as the flow runs.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, ParamSpec

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.fault_points import write_point
from climate_ref_prefect.diagnostics.outcome import Telemetry
from climate_ref_prefect.flows.attempt import Attempt
from climate_ref_prefect.flows.places import PlaceUnavailableError
from climate_ref_prefect.flows.plan import PlannedExecution
from climate_ref_prefect.flows.policy import RetryPolicy
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.store.errors import StoreUnavailableError
from climate_ref_prefect.store.port import Allocation, Finalisation
from climate_ref_prefect.store.publish_results import OutputUnreadableError, PublishError
from climate_ref_prefect.store.publish_results import publish as publish_files
from climate_ref_prefect.store.read_results import check_vocabulary, read_results
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.execute import execute

P = ParamSpec("P")
_TRANSIENT: Final = (OSError, PlaceUnavailableError, OutputUnreadableError, StoreUnavailableError)
_RETRY_DELAYS_SECONDS: Final = [0.5, 2.0]


def _is_transient(_: Task[Any, Any], __: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), _TRANSIENT)


def _phase(function: Callable[P, None]) -> Task[P, None]:
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

    def __init__(self, planned: Sequence[PlannedExecution]) -> None:
        self.planned = planned
        self.attempts: list[Attempt] = []


@_phase
def allocate(label: str, batch: Batch, workspace: Workspace) -> None:
    """Record groups, executions and data sets of a batch, in one transaction."""
    allocated = workspace.store.allocate(
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
        Attempt(row, item.provider, item.counts, workspace.scratch, workspace.results)
        for row, item in zip(allocated, batch.planned, strict=True)
    ]


@_phase
def dispatch(label: str, attempt: Attempt, workspace: Workspace, transport: Transport) -> None:
    """Leave the envelope where the worker will look for it, and record what is asked for."""
    envelope = ExecutionEnvelope(
        execution_id=attempt.execution_id,
        fragment=attempt.allocated.fragment,
        provider=attempt.provider,
        definition=attempt.allocated.definition,
        resources=transport.check(attempt.allocated.resources),
        limits=transport.limits,
    )
    with workspace.scratch_place.used(part=attempt.allocated.definition.provider):
        attempt.files.write_envelope(envelope)
    workspace.store.mark_dispatched(attempt.execution_id, envelope.resources, transport.name)
    attempt.envelope = envelope


@task(name="run", task_run_name="run {label}", cache_policy=NO_CACHE, persist_result=False)
def run(label: str, execution: Attempt) -> None:
    """Run the diagnostic: the one phase that leaves the coordinator. Never retried as a task, but by classification."""
    execution.outcome = execute(execution.directory)


@_phase
def classify(label: str, attempt: Attempt, policy: RetryPolicy, transport: Transport) -> None:
    """Decide what the outcome means."""
    assert attempt.outcome is not None  # noqa: S101 - the run phase has set it
    attempt.verdict = policy.classify(attempt.outcome, attempt.resources, attempt.counts, transport.check)


@_phase
def publish(label: str, attempt: Attempt, workspace: Workspace) -> None:
    """Bring the results to the results directory, unless another coordinator has taken over."""
    assert attempt.outcome is not None  # noqa: S101 - the run phase has set it
    try:
        with workspace.results_place.used(part=attempt.allocated.definition.provider):
            publish_files(attempt.files, attempt.outcome.manifest, attempt.target, workspace.store.confirm_lease)
    except (ResultValidationError, PublishError, OutputUnreadableError):
        workspace.scratch_place.check()  # where scratch is gone, nothing can be said of what lay there
        raise
    attempt.published = True


@_phase
def ingest(label: str, attempt: Attempt, workspace: Workspace) -> None:
    """Check the results against the vocabulary and record them."""
    with workspace.results_place.used(part=attempt.allocated.definition.provider):
        results = read_results(attempt.target)
    settings = workspace.settings
    for warning in check_vocabulary(results, workspace.vocabulary, strict=settings.vocabulary_is_strict):
        get_run_logger().error("%s: %s", attempt.label, warning)
    workspace.store.ingest(attempt.execution_id, results.outputs, results.metrics, results.series)


@_phase
def finalise(label: str, attempt: Attempt, workspace: Workspace) -> None:
    """Record the last word on the attempt, apply the dirty rule and tidy its scratch directory."""
    workspace.store.finalise(attempt.execution_id, last_word(attempt))
    tidy(attempt, workspace)


def last_word(attempt: Attempt) -> Finalisation:
    """Return what is recorded of an attempt that has been classified."""
    assert attempt.verdict is not None  # noqa: S101 - the classify phase has set it
    verdict, outcome = attempt.verdict, attempt.outcome
    failure = outcome.failure if outcome else None
    if failure is not None and verdict.reason:
        failure = failure.model_copy(update={"message": f"{failure.message} ({verdict.reason})"})
    return Finalisation(
        successful=verdict.succeeded,
        retryable=verdict.retryable,
        counted=verdict.counts,
        failure=failure,
        telemetry=outcome.telemetry if outcome else Telemetry(),
        clears_dirty=verdict.clears_dirty,
        results_path=str(attempt.target) if attempt.published else None,
    )


def tidy(attempt: Attempt, workspace: Workspace) -> None:
    """Remove from scratch what the retention setting does not keep; the small JSON files always stay."""
    keep = workspace.settings.keep_scratch
    failed = attempt.verdict is None or not attempt.verdict.succeeded
    if keep == "all" or (keep == "failed" and failed):
        return
    remove_output(attempt.files, with_log=attempt.published)


def remove_output(files: ExecutionDirectory, *, with_log: bool) -> None:
    """Remove an execution's output from scratch, and its log where that has been published."""
    with write_point("removal from scratch"):
        shutil.rmtree(files.output, ignore_errors=True)
        if with_log:
            with suppress(OSError):  # as above: what stays there takes room, no more
                files.log.unlink(missing_ok=True)

"""Run planned executions on any workspace: the part of a solve between planning and its report."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.execution.failure_kinds import Decision
from climate_ref_prefect.flows.flow_run_monitor import FlowRunMonitor
from climate_ref_prefect.flows.lifecycle.lifecycle import Lifecycle, Watch
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.report.prefect_artifacts import Progress
from climate_ref_prefect.flows.server.best_effort_calls import short_retries
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter, counter_of_flow_run
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.transports.port import Transport


class PlannedRun(FrozenModel):
    """The result of a run of planned executions."""

    execution_ids: tuple[int, ...]
    """Every execution that was allocated, retries included, in that order."""

    decisions: Mapping[Decision, int]
    """How many attempts ended with each decision."""

    seconds: float

    @property
    def succeeded(self) -> int:
        """How many executions succeeded."""
        return self.decisions[Decision.SUCCESS]

    @property
    def failed(self) -> int:
        """How many executions failed and are not tried again by this run."""
        return self.decisions[Decision.GIVE_UP] + self.decisions[Decision.RETRY_LATER]


def run_planned(
    workspace: Workspace,
    transport: Transport,
    planned: Sequence[PlannedExecution],
    *,
    task_run_counter: TaskRunCounter | None = None,
    watch: Watch | None = None,
) -> PlannedRun:
    """
    Take planned executions, retries included, through the seven phases; returns when every one has been finalised.

    To be called in a Prefect flow: each phase is a task run of it. Cancelling the flow run stops what runs.

    Parameters
    ----------
    workspace
        As `open_workspace` or `open_recorder_workspace` gives it.
    transport
        Where executions run; closed at the end.
    planned
        What to run. What each is given is asked of the transport before it is dispatched.
    task_run_counter
        Counts the task runs; none for one of this call's own, which then waits for Prefect's server and logs how many
        it does not show.
    watch
        Called about once a second; it may raise to have everything stopped, for example at a deadline.

    Raises
    ------
    InfrastructureFaultError
        If the directories or the database have been away for longer than `house_patience`; nothing is given up then.
    LeaseLostError
        If another coordinator has taken over.
    prefect.exceptions.CancelledRun
        If the flow run was cancelled.
    """
    own = task_run_counter is None
    counter = task_run_counter or counter_of_flow_run()
    watcher = FlowRunMonitor(Progress(len(planned)), counter)

    def look() -> None:
        watcher.raise_if_cancelled()
        if watch is not None:
            watch()

    began = time.monotonic()
    lifecycle = Lifecycle(workspace, transport, counter, look)
    with short_retries() if own else nullcontext():
        with watcher.monitoring(lifecycle):
            lifecycle.run(planned)
        seconds = time.monotonic() - began
        if own and not (recorded := counter.wait_until_recorded()).complete:
            get_run_logger().warning(recorded.headline())
    return PlannedRun(execution_ids=tuple(lifecycle.execution_ids), decisions=dict(lifecycle.finished), seconds=seconds)

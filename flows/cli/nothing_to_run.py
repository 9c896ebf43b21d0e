"""Find out whether a solve has anything to run, before Prefect is imported."""

import time
from collections.abc import Sequence

from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.planning.plan_solve import plan_in
from climate_ref_prefect.flows.planning.solve_request import SolveRequest
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.recorded_task_runs import RecordedTaskRuns
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_workspace


def report_if_nothing_is_to_run(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport | None:
    """Plan, and return the report of a solve that runs nothing; None if there is something to run or to take up."""
    began = time.monotonic()
    with open_workspace(Settings(), coordinating=False, retry_rules=retry_rules) as workspace:
        if workspace.store.unfinished():
            return None
        planned = plan_in(workspace, request)
    if planned.executions:
        return None
    return SolveReport(
        plan=planned,
        executions=(),
        leftovers=Leftovers(),
        recorded=RecordedTaskRuns(finished=0, recorded=0, seconds=0.0),
        seconds=time.monotonic() - began,
        running_seconds=0.0,
        results_directory=str(workspace.results),
    )

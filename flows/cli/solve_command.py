"""`climate-ref-prefect solve`: plans first, and starts Prefect where something is to run."""

import time
from collections.abc import Callable, Sequence

from climate_ref_prefect.flows.cli.errors_and_exit_codes import report_cancellation, report_unreachable_server
from climate_ref_prefect.flows.cli.options import prefect_server
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.planning.plan_solve import SolveRequest, check_request, plan_in
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.recorded_task_runs import RecordedTaskRuns
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_workspace


def solve_where_needed(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport:
    """
    Run whatever is not up to date, as the flow `solve` does; without flow run and server where nothing is to run.

    Parameters
    ----------
    request
        What to solve.
    retry_rules
        Come before those of the site.

    Raises
    ------
    BadInputError
        If something that was asked for does not exist or is invalid.
    """
    with planning_inputs():
        check_request(request.data, request.providers, rescan=request.rescan)
        report = _report_if_nothing_is_to_run(request, retry_rules)
        return report if report is not None else _solve(request, retry_rules)


def _solve(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport:
    with prefect_server(meanwhile=_import_flow), report_cancellation(), report_unreachable_server():
        report: SolveReport = _import_flow()(
            data=request.data,
            providers=list(request.providers),
            diagnostics=request.diagnostics,
            transport=request.transport,
            rerun=request.rerun,
            retry_rules=retry_rules,
            rescan=request.rescan,
        )
        return report


def _import_flow() -> Callable[..., SolveReport]:
    from climate_ref_prefect.flows.solve import solve  # noqa: PLC0415 - takes seconds, in which the server starts

    return solve


def _report_if_nothing_is_to_run(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport | None:
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

"""
The flows that people start: `solve`, `plan` and `run_diagnostic`.

Their docstrings have `Args`, unlike all others: Prefect shows the descriptions in its forms, and reads no other style.
"""

import time
from collections.abc import Sequence

from prefect import flow
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.flows.cancellation import cancelled_in_order
from climate_ref_prefect.flows.coordinator_workspace import coordinator_workspace
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import retry_while_unavailable
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.lifecycle.recover_unfinished import settle_leftovers
from climate_ref_prefect.flows.planning.make_plan import Rerun
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.planning.plan_solve import plan_in, plan_only
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from climate_ref_prefect.flows.planning.solve_request import SolveRequest
from climate_ref_prefect.flows.report.fail_if import FailIf, in_state, reporting_flow
from climate_ref_prefect.flows.report.prefect_artifacts import create_plan_artifact, create_solve_artifacts
from climate_ref_prefect.flows.report.solve_report import SolveReport, read_rows
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.run_planned import PlannedRun, run_planned
from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.flows.server.proxy_settings import avoid_proxies
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter, counter_of_flow_run
from climate_ref_prefect.flows.transport_choice import TransportChoice
from climate_ref_prefect.flows.transport_parameter import transport_of
from climate_ref_prefect.flows.workspace.workspace import StoreWorkspace
from climate_ref_prefect.store.publish_results import remove_leftovers
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

DEMO = ("demo",)
avoid_proxies(PREFECT_API_URL.value())  # before any flow: its engine asks Prefect's server before our code does


@reporting_flow("solve")
def solve(
    data: str = "sample",
    providers: list[str] = list(DEMO),  # noqa: B006 - Prefect shows the default in its form and never changes it
    diagnostics: list[str] | None = None,
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    rerun: Rerun = "none",
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for providers
    rescan: bool = False,
    fail_if: FailIf = "given_up",
) -> SolveReport:
    """
    Run whatever is not up to date: providers x data -> plan -> lifecycle.

    Args:
        data: A directory with a CMIP6 tree, or `sample` for the data of the package `esmvaltool-sample-data`.
        providers: Names of installed providers, or `module:attribute`.
        diagnostics: Slugs of the diagnostics to run; none for all.
        transport: Where executions run.
        rerun: What to run although it is settled on the same inputs: `none`, `failed` (what was given up) or `all`.
        retry_rules: How often, and with what, executions of some diagnostics are tried again; they come before
            the rules of the site's file, and the first that matches a diagnostic is the one.
        rescan: Whether to list every directory of the data again, also those that seem unchanged since an earlier look.
        fail_if: When the flow run ends as Failed: something was `given_up`, `any` execution has not succeeded, `all`
            that ran have failed, or `none` for never. Callers in Python get the report in any case.
    """
    return _solve(
        SolveRequest(data, providers, diagnostics, transport_of(transport), rerun, rescan=rescan), retry_rules, fail_if
    )


@reporting_flow("run-diagnostic")
def run_diagnostic(
    diagnostic: str,
    key: str,
    provider: str = "demo",
    data: str = "sample",
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    *,
    rerun: Rerun = "all",
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for solve
    rescan: bool = False,
    fail_if: FailIf = "given_up",
) -> SolveReport:
    """
    Run one diagnostic on one group of data sets.

    Args:
        diagnostic: Slug of the diagnostic, for example `annual-cycle`.
        key: Key of the group, as `plan` shows it, for example `CanESM5.historical.r1i1p1f1.Amon.ta.gn`.
        provider: Name of an installed provider, or `module:attribute`.
        data: A directory with a CMIP6 tree, or `sample` for the data of the package `esmvaltool-sample-data`.
        transport: Where the execution runs.
        rerun: Whether to run it although it is settled on the same inputs: `none` for no, `failed` if it was given up,
            or `all` for yes.
        retry_rules: How often, and with what, executions of some diagnostics are tried again; they come before
            the rules of the site's file, and the first that matches a diagnostic is the one.
        rescan: Whether to list every directory of the data again, also those that seem unchanged since an earlier look.
        fail_if: When the flow run ends as Failed: something was `given_up`, `any` execution has not succeeded, `all`
            that ran have failed, or `none` for never. Callers in Python get the report in any case.
    """
    request = SolveRequest(data, [provider], [diagnostic], transport_of(transport), rerun, key, rescan)
    return _solve(request, retry_rules, fail_if)


@flow(name="plan", validate_parameters=True)
def plan(
    data: str = "sample",
    providers: list[str] = list(DEMO),  # noqa: B006 - as for solve
    diagnostics: list[str] | None = None,
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    rerun: Rerun = "none",
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for solve
    rescan: bool = False,
) -> Plan:
    """
    Say what `solve` with the same parameters would run, and how much of what; submits nothing.

    Args:
        data: A directory with a CMIP6 tree, or `sample` for the data of the package `esmvaltool-sample-data`.
        providers: Names of installed providers, or `module:attribute`.
        diagnostics: Slugs of the diagnostics to run; none for all.
        transport: Where executions would run.
        rerun: What would run although it is settled on the same inputs: `none`, `failed` (what was given up) or `all`.
        retry_rules: How often, and with what, executions of some diagnostics are tried again; they come before
            the rules of the site's file, and the first that matches a diagnostic is the one.
        rescan: Whether to list every directory of the data again, also those that seem unchanged since an earlier look.
    """
    with escaped_logs():
        planned = plan_only(data, providers, diagnostics, transport, rerun, retry_rules=retry_rules, rescan=rescan)
        create_plan_artifact(planned)
    return planned


def _solve(request: SolveRequest, retry_rules: Sequence[RetryRule], fail_if: FailIf) -> SolveReport:
    return cancelled_in_order(lambda: in_state(_solve_to_the_end(request, retry_rules), fail_if))


def _solve_to_the_end(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport:
    transport = request.transport
    began = time.monotonic()
    with coordinator_workspace(retry_rules) as workspace, planning_inputs() as inputs:
        remove_leftovers(workspace.results)
        transport.open(workspace.store.identity())
        task_run_counter = counter_of_flow_run()
        leftovers = settle_leftovers(workspace, transport, task_run_counter)
        planned = plan_in(workspace, request)
        planned = planned.without(leftovers.elsewhere)
        _hand_over(inputs.servers, planned, transport)
        ran = run_planned(workspace, transport, planned.executions, task_run_counter=task_run_counter)
        report = _report(workspace, planned, leftovers, ran, task_run_counter, seconds=time.monotonic() - began)
        get_run_logger().info(report.headline())
        with best_effort("tables and plots there"):
            create_solve_artifacts(report)
    return report


def _report(
    workspace: StoreWorkspace,
    planned: Plan,
    leftovers: Leftovers,
    ran: PlannedRun,
    task_run_counter: TaskRunCounter,
    *,
    seconds: float,
) -> SolveReport:
    return SolveReport(
        plan=planned,
        executions=retry_while_unavailable(
            lambda: read_rows(workspace.store, ran.execution_ids),
            workspace.settings.house_patience.total_seconds(),
        ),
        leftovers=leftovers,
        recorded=task_run_counter.wait_until_recorded(),
        seconds=seconds,
        running_seconds=ran.seconds,
        results_directory=str(workspace.results),
    )


def _hand_over(servers: ServerPool, planned: Plan, transport: Transport) -> None:
    """Have the transport go on with the providers that planning has imported, if it runs anything from them."""
    servers.keep({(item.provider, item.granted.cpu) for item in planned.executions})
    transport.take_servers(servers)

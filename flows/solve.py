"""
The flows that people start: `solve`, `plan` and `run_diagnostic`.

Their docstrings have `Args`, unlike all others: Prefect shows the descriptions in its forms, and reads no other style.
"""

import time
from collections.abc import Sequence
from contextlib import closing

from prefect import flow
from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.provider import installed_providers
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.flows.coordinator_workspace import coordinator_workspace
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import retry_while_unavailable
from climate_ref_prefect.flows.lifecycle.recover_unfinished import Leftovers, settle_leftovers
from climate_ref_prefect.flows.planning.load_providers import check_diagnostics, find_installed_provider, load_providers
from climate_ref_prefect.flows.planning.make_plan import Rerun, data_directory, make_plan
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.report.prefect_artifacts import create_plan_artifact, create_solve_artifacts
from climate_ref_prefect.flows.report.solve_report import SolveReport, read_rows
from climate_ref_prefect.flows.retry.retry_rules import RetryRule, retry_policies
from climate_ref_prefect.flows.run_planned import PlannedRun, run_planned
from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.flows.server.proxy_settings import avoid_proxies
from climate_ref_prefect.flows.server.task_run_counter import TaskRunCounter, counter_of_flow_run
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.transport_parameter import Site, TransportChoice, transport_of
from climate_ref_prefect.flows.workspace.file_system_checks import check_file_systems
from climate_ref_prefect.flows.workspace.workspace import StoreWorkspace, make_writable, open_workspace
from climate_ref_prefect.store.publish_results import remove_leftovers
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

DEMO = ("demo",)
avoid_proxies(PREFECT_API_URL.value())  # before any flow: its engine asks Prefect's server before our code does


@flow(name="solve", validate_parameters=True)
def solve(
    data: str = "sample",
    providers: list[str] = list(DEMO),  # noqa: B006 - Prefect shows the default in its form and never changes it
    diagnostics: list[str] | None = None,
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    rerun: Rerun = "none",
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for providers
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
    """
    return _solve(data, providers, diagnostics, transport, rerun=rerun, retry_rules=retry_rules)


@flow(name="run-diagnostic", validate_parameters=True)
def run_diagnostic(
    diagnostic: str,
    key: str,
    provider: str = "demo",
    data: str = "sample",
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    *,
    rerun: Rerun = "all",
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for solve
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
    """
    return _solve(data, [provider], [diagnostic], transport, rerun=rerun, retry_rules=retry_rules, key=key)


@flow(name="plan", validate_parameters=True)
def plan(
    data: str = "sample",
    providers: list[str] = list(DEMO),  # noqa: B006 - as for solve
    diagnostics: list[str] | None = None,
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    rerun: Rerun = "none",
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for solve
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
    """
    with escaped_logs():
        planned = plan_only(data, providers, diagnostics, transport, rerun, retry_rules=retry_rules)
        create_plan_artifact(planned)
    return planned


def plan_only(
    data: str,
    providers: Sequence[str],
    diagnostics: Sequence[str] | None,
    transport: Transport | Site,
    rerun: Rerun,
    *,
    retry_rules: Sequence[RetryRule] = (),
) -> Plan:
    """Return what `solve` with the same parameters would run, without Prefect."""
    with open_workspace(Settings(), coordinating=False, retry_rules=retry_rules) as workspace:
        return _plan(workspace, data, providers, diagnostics, transport_of(transport), rerun=rerun)


def check_request(data: str, providers: Sequence[str]) -> None:
    """Raise `BadInputError` for errors that are visible before a flow run, or a server for it, is started."""
    make_writable(Settings().home_directory, "state directory", "CLIMATE_REF_PREFECT_HOME")
    check_file_systems(Settings())
    retry_policies(Settings())
    for name in providers:
        find_installed_provider(name)
    scan(data_directory(data))


def _solve(
    data: str,
    providers: Sequence[str],
    diagnostics: Sequence[str] | None,
    transport: Transport | Site,
    *,
    rerun: Rerun,
    retry_rules: Sequence[RetryRule],
    key: str | None = None,
) -> SolveReport:
    place = transport_of(transport)
    try:
        return _solve_to_the_end(data, providers, diagnostics, place, rerun=rerun, retry_rules=retry_rules, key=key)
    except CancelledRun as cancelled:
        # A flow that raises this stays Cancelling for ever. The returned state is final, and raises it for callers.
        return Cancelled(message=str(cancelled))  # type: ignore[return-value]


def _solve_to_the_end(
    data: str,
    providers: Sequence[str],
    diagnostics: Sequence[str] | None,
    transport: Transport,
    *,
    rerun: Rerun,
    retry_rules: Sequence[RetryRule],
    key: str | None,
) -> SolveReport:
    began = time.monotonic()
    with coordinator_workspace(retry_rules) as workspace, closing(ServerPool()) as servers:
        remove_leftovers(workspace.results)
        transport.open(workspace.store.identity())
        task_run_counter = counter_of_flow_run()
        leftovers = settle_leftovers(workspace, transport, task_run_counter)
        planned = _plan(workspace, data, providers, diagnostics, transport, rerun=rerun, key=key, servers=servers)
        planned = planned.without(leftovers.elsewhere)
        _hand_over(servers, planned, transport)
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


def _plan(
    workspace: StoreWorkspace,
    data: str,
    providers: Sequence[str],
    diagnostics: Sequence[str] | None,
    transport: Transport,
    *,
    rerun: Rerun,
    key: str | None = None,
    servers: ServerPool | None = None,
) -> Plan:
    if not providers:
        raise BadInputError(f"Name at least one provider. Installed: {', '.join(sorted(installed_providers()))}.")
    catalogue = scan(data_directory(data))
    with load_providers(providers, transport.limits.import_deadline_seconds, servers) as (loaded, broken):
        if not broken:
            check_diagnostics(loaded, diagnostics)
        return make_plan(
            loaded,
            broken,
            catalogue,
            workspace.store,
            transport,
            policies=workspace.policies,
            diagnostics=diagnostics,
            key=key,
            rerun=rerun,
        )


def _hand_over(servers: ServerPool, planned: Plan, transport: Transport) -> None:
    """Have the transport go on with the providers that planning has imported, if it runs anything from them."""
    servers.keep({(item.provider, item.granted.cpu) for item in planned.executions})
    transport.take_servers(servers)

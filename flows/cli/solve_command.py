"""`climate-ref-prefect solve`: begins what takes long at once, plans, and goes on in Prefect if something is to run."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib import import_module
from typing import Final

from climate_ref_prefect.flows.cli.errors_and_exit_codes import report_cancellation, report_unreachable_server
from climate_ref_prefect.flows.cli.options import prefect_server
from climate_ref_prefect.flows.planning.load_providers import begin_imports
from climate_ref_prefect.flows.planning.pause_garbage_collection import garbage_collection_paused
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from climate_ref_prefect.flows.planning.settled_requests import is_settled, remember_settled
from climate_ref_prefect.flows.planning.solve_request import SolveRequest, check_request
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.local_server import ChosenServer
from climate_ref_prefect.flows.settings import Settings

_IMPORTED_BY_FLOW_RUN: Final = ("prefect.flow_engine", "fastapi.encoders")


def solve_where_needed(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport:
    """
    Run whatever is not up to date, as the flow `solve` does; without flow run and server where nothing is to run.

    Providers and the server start while this process imports SQLAlchemy and Prefect.

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
    settings = Settings()
    with planning_inputs() as inputs, closing(ChosenServer(settings.home_directory)) as server:
        catalogue = check_request(request)
        begin_imports(request.providers, inputs.servers)
        if not is_settled(settings, request, catalogue):
            server.begin()
        settled = _report_if_nothing_is_to_run(request, retry_rules)
        report = settled or _solve(request, retry_rules, server)
        if settled is not None or report.ok:
            remember_settled(settings, request, catalogue)
        return report


def _report_if_nothing_is_to_run(request: SolveRequest, retry_rules: Sequence[RetryRule]) -> SolveReport | None:
    with garbage_collection_paused():
        from climate_ref_prefect.flows.cli.nothing_to_run import report_if_nothing_is_to_run  # noqa: PLC0415 - takes long

    return report_if_nothing_is_to_run(request, retry_rules)


def _solve(request: SolveRequest, retry_rules: Sequence[RetryRule], server: ChosenServer) -> SolveReport:
    server.begin()
    flow = _import_flow()
    with prefect_server(server), report_cancellation(), report_unreachable_server():
        report: SolveReport = flow(
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
    """Import the flow, and what Prefect imports when it begins a flow run, while the server starts."""
    with garbage_collection_paused():
        from climate_ref_prefect.flows.solve import solve  # noqa: PLC0415 - takes seconds

        for module in _IMPORTED_BY_FLOW_RUN:
            with suppress(ImportError):  # Prefect says so itself if it misses one.
                import_module(module)
    return solve

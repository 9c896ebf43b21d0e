"""Plan a solve on the store, without Prefect: `plan` does no more, and `solve` begins with it."""

from collections.abc import Sequence

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.provider import installed_providers
from climate_ref_prefect.flows.planning.load_providers import check_diagnostics, load_providers
from climate_ref_prefect.flows.planning.make_plan import Rerun, data_directory, make_plan
from climate_ref_prefect.flows.planning.pause_garbage_collection import garbage_collection_paused
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from climate_ref_prefect.flows.planning.solve_request import SolveRequest
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.transport_parameter import Site, transport_of
from climate_ref_prefect.flows.workspace.workspace import StoreWorkspace, open_workspace
from climate_ref_prefect.transports.port import Transport


def plan_only(
    data: str,
    providers: Sequence[str],
    diagnostics: Sequence[str] | None,
    transport: Transport | Site,
    rerun: Rerun,
    *,
    retry_rules: Sequence[RetryRule] = (),
    rescan: bool = False,
) -> Plan:
    """Return what `solve` with the same parameters would run, without Prefect."""
    request = SolveRequest(data, providers, diagnostics, transport_of(transport), rerun, rescan=rescan)
    with open_workspace(Settings(), coordinating=False, retry_rules=retry_rules) as workspace:
        return plan_in(workspace, request)


def plan_in(workspace: StoreWorkspace, request: SolveRequest) -> Plan:
    """
    Plan in an open workspace.

    Raises
    ------
    BadInputError
        If no provider is named, a diagnostic is unknown, or there is no data for what is to run.
    """
    if not request.providers:
        raise BadInputError(f"Name at least one provider. Installed: {', '.join(sorted(installed_providers()))}.")
    deadline_seconds = request.transport.limits.import_deadline_seconds
    with garbage_collection_paused(), planning_inputs() as inputs:
        home = workspace.settings.home_directory
        catalogue = inputs.catalogue(data_directory(request.data), home, rescan=request.rescan)
        with load_providers(request.providers, deadline_seconds, inputs.servers) as (loaded, broken):
            if not broken:
                check_diagnostics(loaded, request.diagnostics)
            return make_plan(
                loaded,
                broken,
                catalogue,
                workspace.store,
                request.transport,
                policies=workspace.policies,
                diagnostics=request.diagnostics,
                key=request.key,
                rerun=request.rerun,
            )

"""What a solve is asked for, and what of it can be checked before a database is opened or a provider is imported."""

from collections.abc import Sequence
from dataclasses import dataclass

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue
from climate_ref_prefect.flows.planning.load_providers import find_installed_provider
from climate_ref_prefect.flows.planning.make_plan import Rerun, data_directory
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from climate_ref_prefect.flows.retry.retry_rules import retry_policies
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.file_system_checks import check_file_systems
from climate_ref_prefect.flows.workspace.writable_directory import make_writable
from climate_ref_prefect.transports.port import Transport


@dataclass(frozen=True)
class SolveRequest:
    """What `solve`, `plan` and `run_diagnostic` are asked for; their docstrings say what each field means."""

    data: str
    providers: Sequence[str]
    diagnostics: Sequence[str] | None
    transport: Transport
    rerun: Rerun
    key: str | None = None
    rescan: bool = False


def check_request(request: SolveRequest) -> Catalogue:
    """
    Return the data sets of a request.

    Raises
    ------
    BadInputError
        For errors that are visible before a provider is imported or a server is started.
    """
    settings = Settings()
    make_writable(settings.home_directory, "state directory", "CLIMATE_REF_PREFECT_HOME")
    check_file_systems(settings)
    retry_policies(settings)
    for name in request.providers:
        find_installed_provider(name)
    with planning_inputs() as inputs:
        return inputs.catalogue(data_directory(request.data), settings.home_directory, rescan=request.rescan)

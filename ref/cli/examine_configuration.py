"""`climate-ref-prefect ref doctor`: check REF's configuration before the first solve."""

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.file_system_checks import examine_file_systems
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.examine_database import examine_database
from climate_ref_prefect.ref.cli.examine_providers import examine_hints, import_providers
from climate_ref_prefect.ref.cli.ref_configuration import (
    EXECUTOR,
    configuration_file,
    executor_settings,
    load_configuration,
)
from climate_ref_prefect.ref.hints.sizing import hint_table
from climate_ref_prefect.ref.provider_adapter import reference_of
from climate_ref_prefect.transports.doctor.check_transport import check_transport
from climate_ref_prefect.transports.doctor_finding import Finding, ok, wrong

_KEYWORDS: Final = {
    "CLIMATE_REF_PREFECT_HOME": "`home` of [executor.config]",
    "CLIMATE_REF_PREFECT_SCRATCH": "`scratch` of [executor.config]",
    "CLIMATE_REF_PREFECT_RESULTS": "`results` of [paths] in ref.toml",
}
"""What an operator of REF sets instead of the variables that the checks of a site speak of."""


def examine_configuration(wait_seconds: float) -> Generator[Finding, None, None]:
    """
    Yield the finding of each check, in an order in which the first that fails explains those that follow.

    Nothing is left behind once the generator is closed.

    Parameters
    ----------
    wait_seconds
        How long the small job that looks at a batch site may take to start.
    """
    try:
        config = load_configuration()
    except ClimateRefPrefectError as error:
        yield wrong("climate-ref cannot be used", str(error))
        return
    yield ok(f"climate-ref {upstream.installed_version()}, configured by {configuration_file()}")
    yield _executor(config)
    yield from examine_database(config)
    providers = yield from import_providers(config)
    try:
        settings = executor_settings(config)
        workspace = settings.workspace_settings(config, upstream.configuration_directory())
        transport = settings.open_transport(workspace)
        table = hint_table(settings.hints, workspace.home_directory)
    except ClimateRefPrefectError as error:
        yield wrong("an option of the executor is invalid", str(error))
        return
    yield ok(f"transport {transport.name}, {len(table.rules)} rules in the table of hints")
    if providers:
        yield from examine_hints(table, providers)
    yield from _directories(workspace)
    references = [reference_of(provider.slug) for provider in providers]
    for finding in examine_file_systems(workspace):
        yield _in_words_of_ref(finding)
    with closing(check_transport(transport, references, workspace.scratch_directory, wait_seconds)) as findings:
        for finding in findings:
            yield _in_words_of_ref(finding)


def _executor(config: Any) -> Finding:
    found = config.executor.executor
    if found == EXECUTOR:
        return ok(f"executor {EXECUTOR}")
    return wrong(f"ref.toml names the executor {found}", "run `climate-ref-prefect ref init`")


def _directories(workspace: Settings) -> Iterator[Finding]:
    for name, directory in (("scratch", workspace.scratch_directory), ("results", workspace.results_directory)):
        nearest = next(each for each in (directory, *directory.parents) if each.exists())
        if os.access(nearest, os.W_OK | os.X_OK):
            yield ok(f"{name}: {directory} can be written")
        else:
            yield wrong(f"{name}: {directory} cannot be written", f"make {nearest} writable, or name another one")


def _in_words_of_ref(finding: Finding) -> Finding:
    remedy = finding.remedy
    for variable, keyword in _KEYWORDS.items():
        remedy = remedy.replace(variable, keyword)
    return finding.model_copy(update={"remedy": remedy})

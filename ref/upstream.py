"""
Every name of climate-ref that this package uses, and the one message where one of them is missing.

A name is imported when it is asked for (`upstream.Execution`), since workers need few of them, and since climate-ref
itself is an extra. No other module imports anything of climate-ref.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError

CONFIGURATION_VARIABLE: Final = "REF_CONFIGURATION"
"""Names the directory of `ref.toml`."""
INSTALL: Final = 'pip install "climate-ref-prefect[climate-ref]"'
_OLDEST_PYTHON: Final = (3, 12)

WORKER_NAMES: Final[Mapping[str, str]] = {
    "Config": "climate_ref.config",
    "CMECOutput": "climate_ref_core.pycmec.output",
    "CondaCommandError": "climate_ref_core.exceptions",
    "EXECUTION_LOG_FILENAME": "climate_ref_core.logging",
    "InvalidProviderException": "climate_ref_core.exceptions",
    "ensure_relative_path": "climate_ref_core.diagnostics",
    "evolve": "attrs",
    "from_wire": "climate_ref_core.serialisation",
    "logger": "loguru",
    "import_provider": "climate_ref_core.providers",
    "measure_resources": "climate_ref_core.resources",
    "provider_by_slug": "climate_ref_core.providers",
    "redirect_logs": "climate_ref_core.logging",
    "to_wire": "climate_ref_core.serialisation",
}
"""What a worker needs, and the module that each name comes from."""

COORDINATOR_NAMES: Final[Mapping[str, str]] = {
    **WORKER_NAMES,
    "CV": "climate_ref_core.pycmec.controlled_vocabulary",
    "DataResourceError": "climate_ref_core.data",
    "Database": "climate_ref.database",
    "Execution": "climate_ref.models",
    "ExecutionFailureReason": "climate_ref.models.execution",
    "ExecutionGroup": "climate_ref.models",
    "Diagnostic": "climate_ref.models",
    "Exit": "typer",
    "ExecutionSolver": "climate_ref.solver",
    "SolveFilterOptions": "climate_ref.solver",
    "logger": "loguru",
    "MICROMAMBA_MAX_AGE": "climate_ref_core.providers",
    "Provider": "climate_ref.models",
    "Reader": "climate_ref.results",
    "ResourceUsage": "climate_ref_core.resources",
    "copy_execution_outputs": "climate_ref_core.output_files",
    "copy_output_file": "climate_ref_core.output_files",
    "ingest_execution_result": "climate_ref.executor.result_handling",
    "record_failure": "climate_ref.executor.result_handling",
    "record_resource_usage": "climate_ref.executor.result_handling",
    "SourceDatasetType": "climate_ref_core.datasets",
    "get_dataset_adapter": "climate_ref.datasets",
    "solve_executions": "climate_ref.solver",
    "solve_required_executions": "climate_ref.solver",
}
"""What a coordinator needs."""


class UpstreamMissingError(ClimateRefPrefectError):
    """
    climate-ref is not installed, or is of a version that this package does not work with.

    Deliberately no ImportError: REF would turn that into "Module not found".
    """


def require(names: Iterable[str] = COORDINATOR_NAMES) -> None:
    """
    Import all names, so that a missing one is noticed before anything starts.

    Raises
    ------
    UpstreamMissingError
        If one is missing. The message says what to install.
    """
    if sys.version_info < _OLDEST_PYTHON:
        running = ".".join(map(str, sys.version_info[:2]))
        raise UpstreamMissingError(f"climate-ref needs Python 3.12 or newer, and this is {running}.")
    for name in names:
        _imported(name)


def installed_version() -> str:
    """Return the version of climate-ref, for people."""
    try:
        return version("climate-ref")
    except PackageNotFoundError:
        return "not installed"


def configuration_directory() -> Path:
    """Return the directory of `ref.toml`, absolute."""
    _imported("Config")  # sets the variable to REF's default where it is not set
    return Path(os.environ[CONFIGURATION_VARIABLE]).resolve()


def __getattr__(name: str) -> Any:
    """Return one of the names of the tables above."""
    if name not in COORDINATOR_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _imported(name)


@cache
def _imported(name: str) -> Any:
    module = COORDINATOR_NAMES[name]
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UpstreamMissingError(
            f"{module}.{name} of climate-ref ({installed_version()}) cannot be imported: {error}. This version of "
            f"climate-ref-prefect works with climate-ref>=0.19,<0.21 and its core of the same version: {INSTALL}"
        ) from error

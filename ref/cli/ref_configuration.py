"""REF's configuration as commands and flows need it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.executor_settings import ExecutorSettings, read_executor_settings
from climate_ref_prefect.ref.solve_request import AS_CONFIGURED, ConfiguredTransport
from climate_ref_prefect.transports.port import Transport

EXECUTOR: Final = "climate_ref_prefect.ref.PrefectExecutor"


def only_errors_on_console() -> None:
    """Keep REF's own log from the console of a command, but for errors."""
    upstream.require()
    upstream.logger.remove()
    upstream.logger.add(sys.stderr, level="ERROR")


def load_configuration() -> Any:
    """
    Return REF's configuration.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing.
    BadInputError
        If `ref.toml` cannot be read.
    """
    upstream.require()
    try:
        return upstream.Config.default()
    except (OSError, ValueError) as error:
        raise BadInputError(f"REF's configuration {configuration_file()} cannot be read: {error}") from error


def configuration_file() -> Path:
    """Return where `ref.toml` lies, or would."""
    return upstream.configuration_directory() / "ref.toml"


def executor_options(
    config: Any, transport: Transport | Site | ConfiguredTransport = AS_CONFIGURED
) -> Mapping[str, Any]:
    """
    Return what `[executor.config]` says, with another transport where one is given.

    Parameters
    ----------
    config
        REF's configuration. The options of another executor that it names are left out.
    transport
        It replaces the transport of `ref.toml`, and its limits.
    """
    options: Mapping[str, Any] = config.executor.config if config.executor.executor == EXECUTOR else {}
    if isinstance(transport, ConfiguredTransport):
        return options
    others = {name: value for name, value in options.items() if name not in ("transport", "cpu", "memory_mb")}
    return {**others, "transport": transport.profile if isinstance(transport, Site) else transport}


def executor_settings(
    config: Any, transport: Transport | Site | ConfiguredTransport = AS_CONFIGURED
) -> ExecutorSettings:
    """
    Return the checked options of the executor; see `executor_options`.

    Raises
    ------
    BadInputError
        If an option is invalid.
    """
    return read_executor_settings(executor_options(config, transport))

"""Options that several commands share, and helpers that evaluate them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.settings import Settings

if TYPE_CHECKING:
    from climate_ref_prefect.flows.retry.retry_rules import RetryRule
    from climate_ref_prefect.flows.server.local_server import ChosenServer

TransportName = Annotated[
    str, typer.Option(help="Where executions run: name of a transport or a site profile, or a path.")
]
RetryRulesFile = Annotated[
    Path | None, typer.Option("--retry-rules", help="YAML file with retry rules; they come before those of the site.")
]


@contextmanager
def prefect_server(begun: "ChosenServer | None" = None) -> Iterator[None]:
    """Use the Prefect server that is configured, else the state directory's own, which may have been begun already."""
    from climate_ref_prefect.flows.server.local_server import ChosenServer  # noqa: PLC0415 - for what runs flows
    from climate_ref_prefect.flows.server.server_description import running_server, server_home  # noqa: PLC0415

    home = Settings().home_directory
    with closing(begun or ChosenServer(home)) as server, server.answering() as api_url:
        own = running_server(server_home(home))
        if own is not None and f":{own.port}/" in api_url:
            PlainConsole(errors=True).print(f"Prefect's UI: {own.ui(server_home(home))}")
        yield


def retry_rules_from_file(file: Path | None) -> "list[RetryRule]":
    """Return the retry rules of a file; empty without a file."""
    from climate_ref_prefect.flows.retry.retry_rules import read_retry_rules  # noqa: PLC0415 - only for what plans

    return list(read_retry_rules(file)) if file else []


def existing_settings() -> Settings:
    """
    Return the settings of a state directory in which something has been run.

    Raises
    ------
    BadInputError
        If nothing has.
    """
    settings = Settings()
    if settings.database_url is None and not (settings.home_directory / "climate-ref-prefect.db").exists():
        raise BadInputError(
            f"Nothing has been run in {settings.home_directory} yet. "
            "CLIMATE_REF_PREFECT_HOME names another state directory."
        )
    return settings

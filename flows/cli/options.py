"""Options that several commands share, and helpers that evaluate them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from climate_ref_prefect.flows.settings import Settings

if TYPE_CHECKING:
    from climate_ref_prefect.flows.retry.retry_rules import RetryRule

TransportName = Annotated[
    str, typer.Option(help="Where executions run: name of a transport or a site profile, or a path.")
]
RetryRulesFile = Annotated[
    Path | None, typer.Option("--retry-rules", help="YAML file with retry rules; they come before those of the site.")
]


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run the state directory's own Prefect server unless another one is configured."""
    from climate_ref_prefect.flows.server.local_server import configured_or_local_server  # noqa: PLC0415 - importing Prefect takes seconds

    with configured_or_local_server(Settings().home_directory):
        yield


def retry_rules_from_file(file: Path | None) -> "list[RetryRule]":
    """Return the retry rules of a file; empty without a file."""
    from climate_ref_prefect.flows.retry.retry_rules import read_retry_rules  # noqa: PLC0415 - only for what plans

    return list(read_retry_rules(file)) if file else []

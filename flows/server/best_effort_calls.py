"""Best-effort calls of Prefect's server: executions and results never wait for a server that does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL

SERVER_ERRORS: Final = (httpx.HTTPError, ObjectNotFound)
"""Errors of Prefect's client if the server is gone, refuses a request, or does not know the flow run any more."""


@contextmanager
def short_retries() -> Iterator[None]:
    """Have Prefect's client retry once, after two seconds, instead of for a minute."""
    context = get_settings_context()
    # Prefect's `temporary_settings` reads all files and variables again, which takes longer than a solve that has
    # nothing to run.
    client = context.settings.client.model_copy(update={"max_retries": 1})
    settings = context.settings.model_copy(update={"client": client})
    with SettingsContext(profile=context.profile, settings=settings):
        yield


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Skip the block with a warning if the server does not answer."""
    try:
        yield
    except SERVER_ERRORS as error:
        get_run_logger().warning(
            "Prefect's server at %s does not answer: %s. Without %s; results still go to the store.",
            PREFECT_API_URL.value(),
            str(error) or type(error).__name__,
            what,
        )

"""Prefect's server only shows what happens: executions and their results do not wait for one that does not answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

UNANSWERED: Final = (httpx.HTTPError, ObjectNotFound)
"""What Prefect's client raises where its server is gone, refuses, or has forgotten the flow run."""


@contextmanager
def promptly() -> Iterator[None]:
    """Have Prefect's client try again once, after two seconds, where it would for a minute."""
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
        yield


@contextmanager
def at_best(what: str) -> Iterator[None]:
    """Leave something out, with a warning, where the server does not take it."""
    try:
        yield
    except UNANSWERED as error:
        get_run_logger().warning(
            "Prefect's server at %s does not answer: %s. Without %s; results still go to the store.",
            PREFECT_API_URL.value(),
            str(error) or type(error).__name__,
            what,
        )

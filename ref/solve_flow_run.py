"""The flow run that shows a solve of REF: the one that is under way, else one of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
from prefect import flow
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL

from climate_ref_prefect.flows.display.traceback_filter import hidden_tracebacks
from climate_ref_prefect.flows.server.best_effort_calls import short_retries
from climate_ref_prefect.flows.server.server_description import ServerError
from climate_ref_prefect.flows.server.unreachable_server import is_of_unreachable_server
from climate_ref_prefect.ref import upstream

Result = TypeVar("Result")


def is_in_flow_run() -> bool:
    """Whether a flow is under way, as `ref-solve` is: it has a server, and its flow run shows the task runs."""
    return FlowRunContext.get() is not None


def in_flow_run(name: str, function: Callable[[], Result]) -> Result:
    """
    Call a function in the flow run that is under way, else in one of its own.

    Where Prefect's server is gone when the function has ended, a warning says so: what counts is REF's database.

    Parameters
    ----------
    name
        Of the flow, if it is one of its own.
    function
        Called without arguments.

    Raises
    ------
    ServerError
        If Prefect's server does not answer, so that there is no flow run.
    """
    if is_in_flow_run():
        return function()
    results: list[Result] = []

    def run() -> None:
        results.append(function())

    try:
        with _silence_explained(), short_retries(), hidden_tracebacks():
            flow(name=name, validate_parameters=False)(run)()
    except ServerError as error:
        if not results:
            raise
        upstream.logger.warning(f"{error} It does not show the end of this solve, which is in REF's database.")
    return results[0]


@contextmanager
def _silence_explained() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        if not is_of_unreachable_server(error):
            raise
        message = f"Prefect's server at {PREFECT_API_URL.value()} does not answer: {error or type(error).__name__}."
        raise ServerError(message) from error

"""Show what REF logs in the log of a flow run."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from prefect.logging import get_run_logger

from climate_ref_prefect.ref import upstream

_LEVEL: Final = "INFO"
_PRECONFIGURED: Final = 0
"""Number of the handler for the console that loguru begins with."""

_OF_REF: Final = ("climate_ref.", "climate_ref_core.", "climate_ref_prefect.ref.")


@contextmanager
def ref_log_in_flow_run() -> Iterator[None]:
    """
    Add what REF logs from INFO on to the log of the current flow run, which people without a shell see.

    The flow run's log goes to the console as well, so the handler that the logger of REF begins with is removed.
    """
    upstream.require()
    run_logger = get_run_logger()

    def show(message: Any) -> None:
        record = message.record
        run_logger.log(record["level"].no, "%s", record["message"])

    with suppress(ValueError):  # somebody has removed it already
        upstream.logger.remove(_PRECONFIGURED)
    sink = upstream.logger.add(show, level=_LEVEL, filter=_is_of_ref)
    try:
        yield
    finally:
        upstream.logger.remove(sink)


def _is_of_ref(record: Any) -> bool:
    """Whether REF has logged this: it may take in all that Python's logging gets, the log of flow runs included."""
    name = record["name"] or ""
    return name.startswith(_OF_REF) and name != __name__

"""Hide the tracebacks that Prefect logs of errors which are reported in a line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.flows.display.log_escaping import filtered_run_logs


class HideTraceback(logging.Filter):
    """Removes the traceback from what Prefect logs about expected errors, which are reported in a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, some without the traceback."""
        import httpx  # noqa: PLC0415 - Prefect, which logs, has imported it

        if record.exc_info and isinstance(record.exc_info[1], ClimateRefPrefectError | httpx.HTTPError):
            record.exc_info = None
        return True


@contextmanager
def hidden_tracebacks() -> Iterator[None]:
    """Log expected errors of flows without their traceback until the context ends."""
    with filtered_run_logs(HideTraceback()):
        yield

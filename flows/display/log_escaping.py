"""Escape log messages, because Prefect's console handler may be set to interpret markup and emoji."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.text import Text

from climate_ref_prefect.flows.display.text_escaping import escape_control_characters

if TYPE_CHECKING:
    from prefect.logging.handlers import PrefectConsoleHandler

RUN_LOGGERS: Final = ("prefect.flow_runs", "prefect.task_runs")
"""Loggers of flows, phases and Prefect itself, whose messages go to the console and to the server."""


class EscapingFilter(logging.Filter):
    """Replaces control characters in log messages by escapes, for every handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with its control characters escaped."""
        record.msg, record.args = escape_control_characters(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = escape_control_characters(
                "".join(traceback.format_exception(record.exc_info[1])).rstrip()
            )
        return True


class _AsText(logging.Formatter):
    """
    Passes a line to Prefect's console as rich text, highlighted as before, because a string would be read as markup.

    Parameters
    ----------
    before
        The formatter that makes the line.
    handler
        The handler, which defines what is highlighted.
    """

    def __init__(self, before: logging.Formatter, handler: "PrefectConsoleHandler") -> None:
        super().__init__()
        self.before = before
        self._handler = handler

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. The handler accepts that it is not a string."""
        line = Text(escape_control_characters(self.before.format(record)))
        return self._handler.console.highlighter(line)  # type: ignore[return-value]


@contextmanager
def escaped_logs() -> Iterator[None]:
    """Show log messages as plain text until the context ends, whatever PREFECT_LOGGING_MARKUP says; may be nested."""
    replaced = [
        (handler, handler.formatter)
        for handler in console_handlers()
        if handler.formatter and not isinstance(handler.formatter, _AsText)
    ]
    for handler, formatter in replaced:
        handler.setFormatter(_AsText(formatter, handler))
    try:
        with filtered_run_logs(EscapingFilter()):
            yield
    finally:
        for handler, formatter in replaced:
            handler.setFormatter(formatter)


@contextmanager
def filtered_run_logs(added: logging.Filter) -> Iterator[None]:
    """Pass what flow and task runs log through one more filter until the context ends."""
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(added)
    try:
        yield
    finally:
        for name in RUN_LOGGERS:
            logging.getLogger(name).removeFilter(added)


def console_handlers() -> "set[PrefectConsoleHandler]":
    """Return the handlers by which Prefect writes to the console."""
    from prefect.logging.handlers import PrefectConsoleHandler  # noqa: PLC0415 - only for what runs flows

    known = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    loggers = [logger for logger in known if isinstance(logger, logging.Logger)]
    return {each for logger in loggers for each in logger.handlers if isinstance(each, PrefectConsoleHandler)}

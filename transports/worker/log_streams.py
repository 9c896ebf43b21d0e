"""The standard streams of a process that runs a diagnostic: its log, in UTF-8 whatever the locale."""

import io
import logging
import sys
from contextlib import suppress
from typing import Final, TextIO

_STDERR: Final = 2


def log_stream() -> TextIO:
    """Return a stream to the descriptor of stderr; closing it leaves that open."""
    return open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


class LogHandler(logging.StreamHandler[TextIO]):
    """
    Logs to the descriptor of stderr, whatever has become of `sys.stderr`.

    A provider or diagnostic may have closed or replaced it; a line of log that cannot be written is no failure.
    """

    def __init__(self) -> None:
        super().__init__(log_stream())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by `logging`
        """Say on stderr what is wrong with a record, where there is a stderr."""
        with suppress(Exception):
            super().handleError(record)


def write_utf8() -> None:
    """
    Have stdout and stderr write UTF-8, and what is none as an escape.

    In the locale `C` a diagnostic that prints `°C` would otherwise fail of it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

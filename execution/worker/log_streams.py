"""The standard streams of a process that runs a diagnostic: its log, in UTF-8 whatever the locale."""

import io
import logging
import sys
from contextlib import suppress
from typing import Final, TextIO

_STDERR: Final = 2


def log_stream() -> TextIO:
    """Return a stream to the descriptor of stderr. Closing the stream leaves the descriptor open."""
    return open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


class LogHandler(logging.StreamHandler[TextIO]):
    """
    Logs to the descriptor of stderr, because a provider or diagnostic may have closed or replaced `sys.stderr`.

    A log line that cannot be written is not a failure.
    """

    def __init__(self) -> None:
        super().__init__(log_stream())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - named by `logging`
        """Print what is wrong with a log record on stderr, if there is a stderr."""
        with suppress(Exception):
            super().handleError(record)


def write_utf8() -> None:
    """
    Have stdout and stderr write UTF-8, and escape what UTF-8 cannot encode.

    Otherwise a diagnostic that prints `°C` would fail in the locale `C`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

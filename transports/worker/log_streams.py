"""The standard streams of a process that runs a diagnostic: its log, in UTF-8 whatever the locale."""

import io
import sys


def write_utf8() -> None:
    """
    Have stdout and stderr write UTF-8, and what is none as an escape.

    In the locale `C` a diagnostic that prints `°C` would otherwise fail of it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")

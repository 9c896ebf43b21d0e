"""Read the log of an execution, whatever has been put in its place."""

import os
import stat
from pathlib import Path
from typing import IO


def open_log(path: Path) -> IO[bytes]:
    """
    Open a log without following a link, and without waiting for the writer of a pipe.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no regular file")
    return os.fdopen(descriptor, "rb")


def end_of_log(path: Path, longest_bytes: int) -> str:
    """
    Return the last whole lines of a log, with what is no UTF-8 escaped.

    Parameters
    ----------
    path
        The log.
    longest_bytes
        How much of it is read at most.

    Raises
    ------
    OSError
        As for `open_log`.
    """
    with open_log(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - longest_bytes))
        end = file.read(longest_bytes)
    if size > longest_bytes:
        _, _, whole_lines = end.partition(b"\n")
        end = whole_lines if whole_lines.strip() else end  # A progress bar is one endless line.
    return end.decode(errors="backslashreplace")

"""Read the end of an execution's log."""

import os
from pathlib import Path

from climate_ref_prefect.execution.open_regular_file import open_regular


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
        If it cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - longest_bytes))
        end = file.read(longest_bytes)
    if size > longest_bytes:
        _, _, whole_lines = end.partition(b"\n")
        end = whole_lines if whole_lines.strip() else end  # A progress bar is one endless line.
    return end.decode(errors="backslashreplace")

"""Files that a diagnostic has not closed: what they hold back is written before its process ends."""

import gc
import io
import os
import stat
from collections.abc import Iterator
from typing import Final

_WRITERS: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
"""In this order: the first kind hands on to the others."""
_STDERR: Final = 2


def write_out() -> None:
    """
    Write what the open files of this process still hold back: its end closes none of them.

    Looks at what was made since the last `gc.freeze()`, so that it is quick in a process that was forked.

    Raises
    ------
    OSError
        If something cannot be written: the output would be cut short without anybody noticing.
    """
    for kind in _WRITERS:
        for file in _writers():
            if type(file) is kind:
                file.flush()


def _writers() -> Iterator[io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom]:
    for candidate in gc.get_objects():
        if type(candidate) in _WRITERS and _is_written_to_disk(candidate):
            yield candidate


def _is_written_to_disk(file: io.TextIOWrapper | io.BufferedWriter | io.BufferedRandom) -> bool:
    """Whether it is open for writing to a regular file; pipes have a reader that may be gone, which is no failure."""
    try:
        return file.writable() and stat.S_ISREG(os.fstat(file.fileno()).st_mode) and file.fileno() > _STDERR
    except (OSError, ValueError):  # it is closed, or none of the system's files
        return False

"""The fingerprint of the files of a data set. It changes when a name, size or modification time changes."""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_READING: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def file_stamp(name: str, status: os.stat_result | OSError) -> str:
    """
    Return the properties of a file that go into a fingerprint.

    Parameters
    ----------
    name
        Its name, without the directory: a copy of the data elsewhere has the same fingerprint.
    status
        Its status, or the error of reading it. The error is part of the fingerprint, so that an execution that failed
        on a broken link is run again once the link is repaired.
    """
    if isinstance(status, OSError):
        return f"{name} unreadable {status.errno}"
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def fingerprint(traces: Iterable[str]) -> str:
    """Return the fingerprint of files, in the order of the data set, by their traces."""
    return hashlib.sha256("\n".join(traces).encode()).hexdigest()


def current_fingerprint(files: Sequence[Path]) -> str:
    """
    Return the present fingerprint of files.

    Each file is opened but not read, because an NFS client may report sizes and times that are a minute old and asks
    its server only when a file is opened.
    """
    return fingerprint(file_stamp(file.name, _status_now(file)) for file in files)


def _status_now(file: Path) -> os.stat_result | OSError:
    try:
        status = os.stat(file)  # noqa: PTH116 - asked of every file of every execution, twice
    except OSError as error:
        return error
    if not stat.S_ISREG(status.st_mode):
        return status
    try:
        descriptor = os.open(file, _READING)
    except OSError:  # Its status may be readable although its content is not. Reading the content will report that.
        return status
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)

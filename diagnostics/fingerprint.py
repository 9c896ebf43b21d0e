"""The fingerprint of the files of a data set: it changes when a name, a size or a modification time does."""

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_READING: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def trace(name: str, status: os.stat_result | OSError) -> str:
    """
    Return what a fingerprint takes note of in a file.

    Parameters
    ----------
    name
        Its name, without the directory: a copy of the data elsewhere has the same fingerprint.
    status
        What the file system says of it. An error is taken note of as well: an execution on a link that leads
        nowhere fails, and is run again once the link is mended.
    """
    if isinstance(status, OSError):
        return f"{name} unreadable {status.errno}"
    return f"{name} {status.st_size} {status.st_mtime_ns}"


def fingerprint(traces: Iterable[str]) -> str:
    """Return the fingerprint of files, in the order of the data set, by their traces."""
    return hashlib.sha256("\n".join(traces).encode()).hexdigest()


def fingerprint_now(files: Sequence[Path]) -> str:
    """
    Return the fingerprint that files have now.

    Each is opened, though not read: over NFS a client may tell sizes and times that are a minute old,
    and only at the opening of a file does it ask its server.
    """
    return fingerprint(trace(file.name, _status_now(file)) for file in files)


def _status_now(file: Path) -> os.stat_result | OSError:
    try:
        status = os.stat(file)  # noqa: PTH116 - asked of every file of every execution, twice
    except OSError as error:
        return error
    if not stat.S_ISREG(status.st_mode):
        return status
    try:
        descriptor = os.open(file, _READING)
    except OSError:  # it may be looked at and not be read: that is for whoever has to read it
        return status
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)

"""Read a NetCDF file with retries while another process may write or lock it, and detect broken files."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from climate_ref_prefect.diagnostics.errors import DiagnosticError

Value = TypeVar("Value")
_TIMEOUT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.5
_RECENT_SECONDS: Final = 60.0
"""A file that was written so lately may be written still, without any lock."""


def read_with_retries(path: Path, read: Callable[[], Value]) -> Value:
    """
    Return what `read` returns, calling it again for some seconds while another process has the file.

    HDF5 answers alike where a file is locked, half written or broken, so the system is asked which of these it is.

    Parameters
    ----------
    path
        The file that `read` opens.
    read
        Opens the file as NetCDF and reads it; may be called more than once.

    Raises
    ------
    DiagnosticError
        If the file is broken.
    OSError
        If the system cannot read it, or another process has it for longer; the next attempt may find it free.
    """
    give_up_at = time.monotonic() + _TIMEOUT_SECONDS
    was_free = False
    while True:
        before = _trace(path)
        try:
            return read()
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and (error.errno or 0) > 0:
                raise
            path.read_bytes()  # raises the error of the system, if any
            is_free = not _is_with_another_process(path, before)
            if is_free and was_free:  # Once is not enough: it may have been released between the two checks.
                raise DiagnosticError(f"{path} cannot be read as NetCDF: {error}.") from error
            if time.monotonic() > give_up_at:
                words = "Another process writes it or has it locked"
                raise BlockingIOError(errno.EAGAIN, words, str(path)) from error
        was_free = is_free
        if not is_free:
            time.sleep(_PAUSE_SECONDS)


def _trace(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_with_another_process(path: Path, before: tuple[int, int]) -> bool:
    if _is_locked(path):
        return True
    if _trace(path) == before and time.time() - path.stat().st_mtime < _RECENT_SECONDS:
        time.sleep(2 * _PAUSE_SECONDS)
    return _trace(path) != before


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, where none can be in the way
        return False
    finally:
        os.close(descriptor)
    return False

"""A lock on a file that names its holder. The system frees it when the holder ends, whatever the cause."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.errors import CoordinatorBusyError

_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.03
_NOT_SUPPORTED: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Holder(FrozenModel):
    """The coordinator, as written into a lock file."""

    host: str
    pid: int
    flow_run_id: str | None = None
    since: float
    """Seconds since the epoch."""

    home: str | None = None
    """Its state directory; empty if an older version wrote this."""

    def __str__(self) -> str:
        """Return a description of it for messages."""
        return f"process {self.pid} on {self.host}" + (f" (state directory {self.home})" if self.home else "")


class LockFile:
    """
    A lock that one process at a time holds.

    Parameters
    ----------
    path
        The file. It is made if it is missing, and is never removed.
    holder
        The process that takes the lock. It is written into the file for processes that find it locked.
    locked
        What the lock protects, for messages.
    """

    def __init__(self, path: Path, holder: Holder, locked: str) -> None:
        self._path = path
        self._holder = holder
        self._locked = locked
        self._file: IO[str] | None = None

    def take(self) -> None:
        """
        Take the lock.

        Raises
        ------
        CoordinatorBusyError
            If another process holds it. The message names it.
        BadInputError
            If the file cannot be made, or its file system has no locks.
        """
        self.release()
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise BadInputError(f"The lock file {self._path} cannot be written: {error.strerror}.") from error
        try:
            self._lock(file)
        except BaseException:
            file.close()
            raise
        self._file = file

    def is_held(self) -> bool:
        """Whether the lock is still held. If somebody removes the file, another process can take the lock."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Free the lock; safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lock(self, file: IO[str]) -> None:
        if not _flock(file, self._path):
            file.seek(0)
            raise CoordinatorBusyError(self._locked, _who(file.read()))
        file.truncate(0)
        file.write(self._holder.model_dump_json())
        file.flush()


@contextmanager
def locked_file(path: Path, holder: Holder, locked: str) -> Iterator[None]:
    """Hold a lock file while the context lasts; parameters and errors are those of `LockFile`."""
    lock = LockFile(path, holder, locked)
    lock.take()
    try:
        yield
    finally:
        lock.release()


def holder_of(path: Path) -> Holder | None:
    """Return the present holder of a lock file; None if it is not locked or the holder is unknown."""
    if not path.exists():
        return None
    with path.open("r", encoding="utf-8", errors="replace") as file:
        for _ in range(_TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if (holder := _read(file.read())) is not None:
                    return holder
                time.sleep(_PAUSE_SECONDS)  # It has just taken the lock, and has not written its name yet.
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    raise
                return None  # a file system without locks has no holder
            else:
                return None
    return None


def _flock(file: IO[str], path: Path) -> bool:
    """Take the lock, with retries, because a process that only looks at it (`holder_of`) holds it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            raise BadInputError(
                f"The file system of {path} has no file locks (flock: {error.strerror}), so that nothing would keep "
                "two coordinators apart. Choose a place on another file system, or have this one mounted with locks."
            ) from error
        else:
            return True
    return False


def _who(written: str) -> str:
    holder = _read(written)
    return "a process that does not say which it is" if holder is None else str(holder)


def _read(written: str) -> Holder | None:
    try:
        return Holder.model_validate_json(written)
    except ValueError:
        return None

"""Limit the size of an execution's log while it grows: keep its beginning and its end, remove the middle."""

import ctypes
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

_LOG: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PUNCH_HOLE_KEEP_SIZE: Final = 0x03
_MIB: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 20
_LINE_BYTES: Final = 1 << 16
"""How far to search for the end of a line, so that neither half begins or ends in the middle of a line."""
_FAST_SHARE: Final = 8


class LogLimit:
    """
    Limits one log, which the diagnostic and the programs that it starts write to directly.

    While they write, a hole is punched into the middle of the file, which frees its disk space and moves nothing: no
    line is lost and no writer waits. If the file system cannot punch holes, the middle is cut out as at the end.
    When nothing writes any more, `finish` joins both ends, with a line between them that says how much was removed.

    Parameters
    ----------
    path
        The log, which need not exist yet.
    limit_mb
        Largest size that is kept, in MiB: half of it for each end.
    """

    def __init__(self, path: Path, limit_mb: float) -> None:
        self._path = path
        self._half_bytes = max(_CHUNK_BYTES // 2, int(limit_mb * _MIB / 2))
        self._file: int | None = None
        self._seen_bytes = 0
        self._head_bytes: int | None = None
        self._left_out_bytes = 0
        self.grows_fast = False
        """Whether the log grows so fast that `look` should be called again soon."""

    def shorten_if_needed(self) -> None:
        """Free the disk space of the middle if the log is longer than the limit."""
        with suppress(OSError):  # A log that cannot be shortened is not a failure of the execution.
            self._give_back()

    def _give_back(self) -> None:
        length = self._length()
        self.grows_fast = length - self._seen_bytes > self._half_bytes // _FAST_SHARE
        begin, end = self._half_bytes, length - self._half_bytes
        is_too_long = end - begin > self._half_bytes // _FAST_SHARE and length > self._seen_bytes
        if self._file is not None and is_too_long and not _punch_hole(self._file, begin, end - begin):
            self._cut(self._file, length)
            length = self._length()
        self._seen_bytes = length

    def finish(self) -> None:
        """Cut the middle out. Call this when nothing writes to the log any more."""
        with suppress(OSError):
            length = self._length()
            if self._file is not None and length > 2 * self._half_bytes + _LINE_BYTES:
                self._cut(self._file, length)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _length(self) -> int:
        self._follow()
        return 0 if self._file is None else os.fstat(self._file).st_size

    def _follow(self) -> None:
        """Open the log. Open it again if the diagnostic has replaced it by another file of that name."""
        if self._file is not None and not _is_other(self._path, self._file):
            return
        found = _open(self._path)
        if found is None:
            return
        if self._file is not None:
            os.close(self._file)
        self._file, self._seen_bytes, self._head_bytes, self._left_out_bytes = found, 0, None, 0

    def _cut(self, file: int, length: int) -> None:
        if self._head_bytes is None:
            last = os.pread(file, _LINE_BYTES, self._half_bytes - _LINE_BYTES)
            self._head_bytes = self._half_bytes - _after_last_line(last)
        head = self._head_bytes
        tail = length - self._half_bytes
        tail += _to_next_line(os.pread(file, _LINE_BYTES, tail))
        self._left_out_bytes += tail - head
        line = (
            f"\n[... {self._left_out_bytes} bytes are left out here: a log is limited to "
            f"{2 * self._half_bytes / _MIB:g} MiB (max_log_mb) ...]\n"
        ).encode()
        at = head + os.pwrite(file, line, head)
        while chunk := os.pread(file, _CHUNK_BYTES, tail):
            at += os.pwrite(file, chunk, at)
            tail += len(chunk)
        os.ftruncate(file, at)


def _open(path: Path) -> int | None:
    """Open a log; None if it does not exist yet or a diagnostic has put something else than a regular file there."""
    try:
        descriptor = os.open(path, _LOG)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _is_other(path: Path, file: int) -> bool:
    """Whether a path leads to another file than the open one. False if it leads nowhere."""
    try:
        there = path.lstat()
    except OSError:
        return False
    return not os.path.samestat(there, os.fstat(file))


def _after_last_line(text: bytes) -> int:
    """Return how many bytes of a text follow its last line end; 0 if it has none."""
    end = text.rfind(b"\n")
    return 0 if end < 0 else len(text) - end - 1


def _to_next_line(text: bytes) -> int:
    """Return how many bytes of a text come before its first whole line; 0 if it has none."""
    return text.find(b"\n") + 1


def _punch_hole(file: int, begin: int, length: int) -> bool:
    """Free the disk space of a part of a file. Returns False if the system or the file system cannot do that."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if fallocate is None:
        return False
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(file, _PUNCH_HOLE_KEEP_SIZE, begin, length) == 0)

"""Detect that an execution failed because scratch was full, and whether its own output filled it."""

import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure

UNWRITABLE: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
    }
)
"""Errors of a file system that is full, read-only or not available, as opposed to errors of its use."""
_PROBE_BYTES: Final = 1 << 16
_NO_ROOM_BYTES: Final = 1 << 16
_HALF: Final = 2
_HUNDREDTH: Final = 100
_MIB: Final = 1 << 20
_SAID: Final = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


@dataclass(frozen=True)
class _Amount:
    """Free space on a file system, or space that is used on it."""

    room_bytes: int
    inodes: int

    def is_most_of(self, free: "_Amount", total: "_Amount") -> bool:
        """Whether this is at least half of the space that was free and at least a hundredth of the file system."""
        return _is_most_of(self.room_bytes, free.room_bytes, total.room_bytes) or _is_most_of(
            self.inodes, free.inodes, total.inodes
        )


class ScratchFullDetector:
    """
    Watches the free space on the file system of an execution's directory.

    The rule: a failure counts as `scratch_full` if scratch had no space, no inodes or no quota left, or could not be
    written, when the execution failed or at any earlier check, whatever error it failed with. It counts as the
    execution's own failure, however, if its own directory then held at least half of the space (or inodes) that had
    been free when it started, and at least a hundredth of the whole file system.

    Parameters
    ----------
    directory
        The execution's directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._why_full = ""
        self._own = _Amount(0, 0)
        self._free_at_start, self._total = _look_at(directory)

    def check(self) -> None:
        """Check the free space and record if there is none. Call this from time to time."""
        if not self._why_full:
            self.record_reason(_why_nothing_is_free(*_look_at(self._directory)))

    def record_reason(self, why: str) -> None:
        """Record what the child found with `why_scratch_was_full`; nothing if that is empty."""
        if why and not self._why_full:
            self._note(why)

    def record_error(self, error: OSError) -> None:
        """Record an error that the supervisor had when it wrote to scratch."""
        self.record_reason(_why_unwritable(error))

    def classify(self, failure: ExecutionFailure) -> ExecutionFailure:
        """Return the failure, or `scratch_full` in its place, after trying whether scratch can be written now."""
        if FailureKind.SCRATCH_FULL not in FAILURE_RULES[failure.kind].may_hide:
            return failure
        self.record_reason(why_scratch_was_full(self._directory, failure))
        if not self._why_full:
            return failure
        if self._own.is_most_of(self._free_at_start, self._total):
            return failure.model_copy(update={"message": f"{failure.message} ({self._own_share()})"})
        return ExecutionFailure(
            kind=FailureKind.SCRATCH_FULL,
            message=f"Scratch was full while it ran: {self._why_full}. It failed with: {failure.message}",
            details=f"{self._directory}\n{failure.details}",
        )

    def _own_share(self) -> str:
        own, free = self._own, self._free_at_start
        return (
            f"Scratch was full: {self._why_full}. Of what was free when it started, its own files took "
            f"{own.room_bytes // _MIB} of {free.room_bytes // _MIB} MiB and {own.inodes} of {free.inodes} inodes, "
            "so this is its own failure."
        )

    def _note(self, why: str) -> None:
        self._why_full = why
        self._own = _held_by(self._directory)


def why_scratch_was_full(directory: Path, failure: ExecutionFailure) -> str:
    """
    Return why scratch counts as full at the moment at which an execution fails; empty if it does not.

    An error that names a full file system is believed if there is so little free space that it is plausible. The child
    asks this as soon as the exception is there: somebody may make room before the supervisor hears of it.

    Parameters
    ----------
    directory
        The execution's directory.
    failure
        What the execution failed with.
    """
    free, total = _look_at(directory)
    return _why_nothing_is_free(free, total) or _why_writing_fails(directory) or _why_believed(failure, free, total)


def _why_writing_fails(directory: Path) -> str:
    # Only an attempt to write shows quotas and a file system that has become read-only.
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return _why_unwritable(error)
    return ""


def _why_unwritable(error: OSError) -> str:
    return f"writing to it failed ({error.strerror})" if error.errno in UNWRITABLE else ""


def _why_believed(failure: ExecutionFailure, free: _Amount, total: _Amount) -> str:
    said = next((words for words in _SAID if words in failure.message or words in failure.details), "")
    return f"an error says {said!r}" if said and free.room_bytes * _HUNDREDTH < total.room_bytes else ""


def _why_nothing_is_free(free: _Amount, total: _Amount) -> str:
    if total.room_bytes and free.room_bytes < _NO_ROOM_BYTES:
        return "it had no room left"
    if total.inodes and free.inodes == 0:
        return "it had no inodes left"
    return ""


def unwritable_scratch(error: OSError, what: str) -> ExecutionFailure:
    """Return the failure of a worker that cannot read or write its own files, which may be due to a full scratch."""
    kind = FailureKind.SCRATCH_FULL if error.errno in UNWRITABLE else FailureKind.SYSTEM_ERROR
    return ExecutionFailure(kind=kind, message=f"{what}: {error}")


def _is_most_of(own: int, free: int, total: int) -> bool:
    return total > 0 and own * _HALF >= free and own * _HUNDREDTH >= total


def _look_at(directory: Path) -> tuple[_Amount, _Amount]:
    """Return the free space and the size of a file system; zero for both if the system does not say."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return _Amount(0, 0), _Amount(0, 0)
    root = os.geteuid() == 0  # Space reserved for root is free only for root.
    blocks, inodes = (status.f_bfree, status.f_ffree) if root else (status.f_bavail, status.f_favail)
    free = _Amount(blocks * status.f_frsize, inodes)
    return free, _Amount(status.f_blocks * status.f_frsize, status.f_files)


def _held_by(directory: Path) -> _Amount:
    """Return the space that the files below a directory use."""
    room_bytes = inodes = 0
    pending = [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    room_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                    inodes += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:  # It has just been removed, or may not be read. The rest is counted.
            continue
    return _Amount(room_bytes, inodes)

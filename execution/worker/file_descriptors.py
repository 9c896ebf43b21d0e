"""
The file descriptors of a process that runs a provider: those of this package, and those that the provider holds open.

Descriptors of this package get high numbers, so that they do not take numbers that the provider expects. They are
closed in every program that is started, and this module remembers them. All others belong to the provider and keep
their numbers in a forked process.
"""

import errno
import fcntl
import os
import resource
import socket
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LINUX: Final = sys.platform == "linux"
STANDARD_STREAMS: Final = (0, 1, 2)
_LISTING: Final = Path("/proc/self/fd" if LINUX else "/dev/fd")
_FIRST_ABOVE_STREAMS: Final = 3
_END_OF_OURS: Final = 256
"""Numbers below this are within every usual limit and keep the kernel's table of descriptors small."""
_ROOM_FOR_OURS: Final = 16
_REOPENING_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_NOATIME", 0) | getattr(os, "O_DIRECT", 0)
"""The flags that apply when a file is opened again. The others concern creating it or resolving its name."""
_ours: Final[set[int]] = set()

Identity = tuple[int, int]
"""Device and inode of the file behind a descriptor."""


def move_away(descriptor: int) -> int:
    """
    Move a descriptor to a high number, closed in every program that is started, and remember it as this package's.

    Parameters
    ----------
    descriptor
        The descriptor to move; its present number is closed.

    Returns
    -------
    int
        Its new number. If the limit on open files leaves no high number, the lowest that is free.

    Raises
    ------
    OSError
        If the system gives no further descriptor.
    """
    moved = _duplicate_high(descriptor)
    os.close(descriptor)
    _ours.add(moved)
    return moved


def _duplicate_high(descriptor: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    end = _END_OF_OURS if soft == resource.RLIM_INFINITY else min(soft, _END_OF_OURS)
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(_FIRST_ABOVE_STREAMS, end - _ROOM_FOR_OURS))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.EINVAL):
            raise
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_ABOVE_STREAMS)


def close_ours(descriptor: int) -> None:
    """Close a descriptor of this package."""
    _ours.discard(descriptor)
    os.close(descriptor)


@contextmanager
def our_socket(descriptor: int) -> Iterator[socket.socket]:
    """Use a descriptor as a socket of this package, at a high number, and close it at the end."""
    with socket.socket(fileno=move_away(descriptor)) as ours:
        number = ours.fileno()
        try:
            yield ours
        finally:
            _ours.discard(number)


def close_all_of_ours(keep: int) -> None:
    """Close all descriptors of this package except one, in a forked process that does not need them."""
    for number in _ours - {keep}:
        with suppress(OSError):  # Its owner has closed it already.
            os.close(number)
    _ours.intersection_update({keep})


def close_all(keep: Collection[int]) -> None:
    """Close everything except the standard streams and `keep`, before this process becomes another program."""
    for number in _open_numbers():
        if number not in STANDARD_STREAMS and number not in keep:
            with suppress(OSError):  # it was that of the listing itself
                os.close(number)


def replace_providers() -> None:
    """
    Release what the provider holds open, in a process that does not run the provider's code.

    The numbers stay in use and lead to nothing. Otherwise objects of the provider that still name these numbers could
    close other files that got them.
    """
    nothing = move_away(os.open(os.devnull, os.O_RDWR))
    for held in held_by_provider():
        os.dup2(nothing, held.number, inheritable=False)
    close_ours(nothing)


def _open_numbers() -> list[int]:
    return sorted(int(entry) for entry in os.listdir(_LISTING))  # noqa: PTH208 - done for each execution


def identity(descriptor: int) -> Identity | None:
    """Return device and inode behind a descriptor; None if it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class HeldDescriptor:
    """A descriptor that a provider holds open, as it was when it was examined."""

    number: int
    identity: Identity
    mode: int
    device: int
    """The device number, if it is a device."""
    flags: int
    inheritable: bool
    offset: int | None
    """Position at which the next byte is read; None if the file has no position."""

    @property
    def name(self) -> str:
        """Its name in the kernel: a path, or for example `socket:[12345]`."""
        return str((_LISTING / str(self.number)).readlink()) if LINUX else f"descriptor {self.number}"

    @property
    def is_unchanged(self) -> bool:
        """Whether the number still leads to the same file. A provider may have changed it in a fork handler."""
        return identity(self.number) == self.identity

    @property
    def is_read_only_file(self) -> bool:
        """Whether it is a file or a directory that is open for reading and nothing else."""
        is_file = stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode)
        return is_file and self.flags & os.O_ACCMODE == os.O_RDONLY and self.offset is not None

    def open_again(self) -> int:
        """
        Open the same file again, even if it has no name any more, with an offset of its own at the same position.

        Raises
        ------
        OSError
            If the file cannot be opened any more. The message names the file.
        """
        assert self.offset is not None  # noqa: S101 - asked of read-only files alone
        flags = self.flags & _REOPENING_FLAGS | os.O_RDONLY | os.O_CLOEXEC
        try:
            opened = os.open(f"{_LISTING}/{self.number}", flags)
        except OSError as error:
            raise _cannot_be_opened_again(self, error) from error
        try:
            os.lseek(opened, self.offset, os.SEEK_SET)
        except OSError as error:
            os.close(opened)
            raise _cannot_be_opened_again(self, error) from error
        return opened


def _cannot_be_opened_again(held: HeldDescriptor, error: OSError) -> OSError:
    return OSError(
        error.errno, f"what the provider holds open as descriptor {held.number} cannot be opened again", held.name
    )


def held_by_provider() -> list[HeldDescriptor]:
    """Return the descriptors that are neither this package's nor standard streams, lowest number first."""
    found = (_look_at(number) for number in _open_numbers() if number not in _ours and number not in STANDARD_STREAMS)
    return [held for held in found if held is not None]


def by_opening(files: Iterable[HeldDescriptor]) -> list[tuple[HeldDescriptor, ...]]:
    """Group descriptors that were made from one another by `dup`: they share one offset."""
    alike: dict[object, list[HeldDescriptor]] = {}
    for held in files:
        alike.setdefault((held.identity, held.flags, held.offset), []).append(held)
    return [opening for candidates in alike.values() for opening in _divide(candidates)]


def _divide(alike: Sequence[HeldDescriptor]) -> list[tuple[HeldDescriptor, ...]]:
    """Separate openings of one file that are at the same offset: move each, and see which move together."""
    offset = alike[0].offset
    if len(alike) == 1 or offset is None or not stat.S_ISREG(alike[0].mode):
        return [(held,) for held in alike]
    for step, held in enumerate(alike):
        os.lseek(held.number, offset + 1 + step, os.SEEK_SET)
    together: dict[int, list[HeldDescriptor]] = {}
    for held in alike:
        together.setdefault(os.lseek(held.number, 0, os.SEEK_CUR), []).append(held)
    for held in alike:
        os.lseek(held.number, offset, os.SEEK_SET)
    return [tuple(opening) for opening in together.values()]


def _look_at(number: int) -> HeldDescriptor | None:
    try:
        status = os.fstat(number)
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        inheritable = os.get_inheritable(number)
    except OSError:  # it was that of the listing itself
        return None
    return HeldDescriptor(
        number=number,
        identity=(status.st_dev, status.st_ino),
        mode=status.st_mode,
        device=status.st_rdev,
        flags=flags,
        inheritable=inheritable,
        offset=_offset(number),
    )


def _offset(number: int) -> int | None:
    try:
        return os.lseek(number, 0, os.SEEK_CUR)
    except OSError:
        return None

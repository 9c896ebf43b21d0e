"""
The descriptors of a process that a provider lives in: ours, which are out of its way, and those that it holds open.

What belongs to this package has high numbers and is closed in every program that is started; each is remembered as
ours. All others are the provider's: they keep their numbers in a forked process.
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
"""Numbers below this are within every usual limit, and the kernel's table of descriptors stays small."""
_ROOM_FOR_OURS: Final = 16
_REOPENING_FLAGS: Final = os.O_NONBLOCK | getattr(os, "O_NOATIME", 0) | getattr(os, "O_DIRECT", 0)
"""What may be said when a file is opened once more; the others are about creating it or finding its name."""
_ours: Final[set[int]] = set()

Identity = tuple[int, int]
"""Device and inode of what a descriptor stands for."""


def move_away(descriptor: int) -> int:
    """
    Give a descriptor a high number, closed in every program that is started, and remember it as ours.

    Parameters
    ----------
    descriptor
        Is closed under the number that it has.

    Returns
    -------
    int
        Its new number; where the limit on open files leaves no room above, the lowest that is free.

    Raises
    ------
    OSError
        If no further descriptor can be had.
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
    """Close a descriptor of ours."""
    _ours.discard(descriptor)
    os.close(descriptor)


@contextmanager
def our_socket(descriptor: int) -> Iterator[socket.socket]:
    """Use a descriptor as a socket of ours, out of the provider's way, and close it in the end."""
    with socket.socket(fileno=move_away(descriptor)) as ours:
        number = ours.fileno()
        try:
            yield ours
        finally:
            _ours.discard(number)


def close_all_of_ours(keep: int) -> None:
    """Close what is ours in a forked process, which has no use for it, but for one."""
    for number in _ours - {keep}:
        with suppress(OSError):  # whoever had it has closed it
            os.close(number)
    _ours.intersection_update({keep})


def close_all(keep: Collection[int]) -> None:
    """Close everything but the standard streams and `keep`: for a process that is about to become another program."""
    for number in _open_numbers():
        if number not in STANDARD_STREAMS and number not in keep:
            with suppress(OSError):  # it was that of the listing itself
                os.close(number)


def replace_providers() -> None:
    """
    Let go of what the provider holds open, in a process that does not run its code.

    Its numbers stay taken, by nothing: objects of the provider's that still name them could close what else had them.
    """
    nothing = move_away(os.open(os.devnull, os.O_RDWR))
    for held in held_by_provider():
        os.dup2(nothing, held.number, inheritable=False)
    close_ours(nothing)


def _open_numbers() -> list[int]:
    return sorted(int(entry) for entry in os.listdir(_LISTING))  # noqa: PTH208 - done for each execution


def identity(descriptor: int) -> Identity | None:
    """Return what a descriptor stands for; none if it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True)
class HeldDescriptor:
    """A descriptor that a provider holds open, as it was when it was looked at."""

    number: int
    identity: Identity
    mode: int
    device: int
    """What device it is, where it is one."""
    flags: int
    inheritable: bool
    offset: int | None
    """Where the next byte is read; none where that means nothing."""

    @property
    def name(self) -> str:
        """What the kernel calls it: a path, or for example `socket:[12345]`."""
        return str((_LISTING / str(self.number)).readlink()) if LINUX else f"descriptor {self.number}"

    @property
    def is_unchanged(self) -> bool:
        """Whether the number still stands for the same: a provider may have handlers of its own for forks."""
        return identity(self.number) == self.identity

    @property
    def is_read_only_file(self) -> bool:
        """Whether it is a file or a directory that is open for reading and nothing else."""
        is_file = stat.S_ISREG(self.mode) or stat.S_ISDIR(self.mode)
        return is_file and self.flags & os.O_ACCMODE == os.O_RDONLY and self.offset is not None

    def open_again(self) -> int:
        """
        Open the same file once more, even if it has no name any longer, with an offset of its own at the same place.

        Raises
        ------
        OSError
            If it cannot be opened any more; it names the file.
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
    """Return the descriptors that are neither ours nor standard streams, lowest number first."""
    found = (_look_at(number) for number in _open_numbers() if number not in _ours and number not in STANDARD_STREAMS)
    return [held for held in found if held is not None]


def by_opening(files: Iterable[HeldDescriptor]) -> list[tuple[HeldDescriptor, ...]]:
    """Put descriptors together that were made from one another by `dup`: they have one offset in common."""
    alike: dict[object, list[HeldDescriptor]] = {}
    for held in files:
        alike.setdefault((held.identity, held.flags, held.offset), []).append(held)
    return [opening for candidates in alike.values() for opening in _divide(candidates)]


def _divide(alike: Sequence[HeldDescriptor]) -> list[tuple[HeldDescriptor, ...]]:
    """Tell openings of one file apart, all at one offset, by moving each: what is one opening moves together."""
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

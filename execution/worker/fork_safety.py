"""
Fork safety: why a process that has imported a provider must not be forked, and what a forked child opens again.

Each child opens again the files that are open for reading. It cannot open again files that are open for writing,
sockets, pipes and shared memory: processes that run side by side would share them without knowing. Nor does a fork
inherit what belongs to one process alone: threads, child processes, timers and file locks.
"""

import os
import signal
import stat
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.host.process_tree import children, name_of
from climate_ref_prefect.execution.worker.file_descriptors import (
    LINUX,
    STANDARD_STREAMS,
    HeldDescriptor,
    Identity,
    by_opening,
    held_by_provider,
    identity,
)

_MEMORY_DEVICES: Final = {os.makedev(1, minor) for minor in (3, 5, 7, 8, 9)}
"""/dev/null, zero, full, random and urandom: processes can share them without disturbing each other."""
_O_PATH: Final = getattr(os, "O_PATH", 0)
_STDOUT, _STDERR = 1, 2
_NAMED_AT_MOST: Final = 8
_MAPPINGS: Final = Path("/proc/self/maps")
_ANONYMOUS: Final = "/dev/zero (deleted)"
_TIMERS: Final = {"real": signal.ITIMER_REAL, "virtual": signal.ITIMER_VIRTUAL, "profiling": signal.ITIMER_PROF}
_LOCKS: Final = Path("/proc/locks")


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The open files that a child inherits if it is forked now."""

    files: tuple[tuple[HeldDescriptor, ...], ...]
    """Files open for reading, which the child opens again. Numbers made by `dup` of one opening form one group."""

    output: tuple[HeldDescriptor, ...]
    """Copies of the standard output, which must lead to the standard output of the child."""

    shared: tuple[HeldDescriptor, ...]
    """Files that two processes must not share. While there is any, no child is forked."""

    def take_over(self) -> None:
        """
        Open the files again for the calling process. Called once, in the child, after its standard streams are set.

        Raises
        ------
        OSError
            If a file cannot be opened any more. The message names the file.
        """
        for opening in self.files:
            if unchanged := [held for held in opening if held.is_unchanged]:
                _open_again(unchanged)
        for held in self.output:
            if held.is_unchanged:
                os.dup2(_STDOUT, held.number, inheritable=held.inheritable)


def _open_again(numbers: Sequence[HeldDescriptor]) -> None:
    opened = numbers[0].open_again()
    try:
        for held in numbers:
            os.dup2(opened, held.number, inheritable=held.inheritable)
    finally:
        os.close(opened)


class ForkSafety:
    """
    Finds what a provider has opened and started in this process.

    Create it before the provider is imported: what exists at that time does not belong to the provider.
    """

    def __init__(self) -> None:
        self._streams: dict[int, Identity | None] = {number: identity(number) for number in STANDARD_STREAMS}
        self._mappings = set(_shared_mappings())

    def inheritance(self) -> Inheritance:
        """Return the open files that a child would inherit if it were forked now."""
        files, output, shared = [], [], []
        for held in held_by_provider():
            if LINUX and held.is_read_only_file:
                files.append(held)
            elif self._is_our_output(held):
                output.append(held)
            elif not _is_harmless(held):
                shared.append(held)
        return Inheritance(files=tuple(by_opening(files)), output=tuple(output), shared=tuple(shared))

    def obstacles(self, supervisors: Collection[int] = ()) -> tuple[str, ...]:
        """
        Return the reasons why this process must not be forked, in words; empty if it may be forked.

        Parameters
        ----------
        supervisors
            Processes below this one that the provider did not start.
        """
        inheritance = self.inheritance()
        names = {held.name for held in inheritance.shared}
        found = [_in_words(held) for held in inheritance.shared]
        found += self._replaced_streams()
        # Checked before one of the files is closed under another number, because closing gives up the locks on it.
        found += _locks_in_words(opening[0] for opening in inheritance.files)
        found += _gone_files(opening[0] for opening in inheritance.files)
        found += [f"thread {name!r}" for name in _names_of_threads()]
        found += [f"a {name} timer of `signal`" for name, timer in _TIMERS.items() if signal.getitimer(timer)[0]]
        # A forked child cannot wait for these processes and would find them ended.
        found += [f"process {name_of(pid)!r} ({pid})" for pid in children(os.getpid()) if pid not in supervisors]
        found += [_mapping_in_words(name) for name in sorted(set(_shared_mappings()) - self._mappings - names)]
        more = len(found) - _NAMED_AT_MOST
        return (*found[:_NAMED_AT_MOST], *([f"{more} more"] if more > 0 else []))

    def _is_our_output(self, held: HeldDescriptor) -> bool:
        ours = (self._streams[_STDOUT], self._streams[_STDERR])
        return held.identity in ours and held.flags & os.O_ACCMODE != os.O_RDONLY

    def _replaced_streams(self) -> Iterator[str]:
        for number, before in self._streams.items():
            now = identity(number)
            if now is not None and now != before:
                yield f"standard stream {number}, which has been replaced"


def _is_harmless(held: HeldDescriptor) -> bool:
    is_memory_device = stat.S_ISCHR(held.mode) and (held.device in _MEMORY_DEVICES or not LINUX)
    return is_memory_device or bool(held.flags & _O_PATH)


def _in_words(held: HeldDescriptor) -> str:
    return f"{_printable(held.name)} (descriptor {held.number}{_how_opened(held)})"


def _how_opened(held: HeldDescriptor) -> str:
    if not stat.S_ISREG(held.mode):
        return ""
    return {os.O_WRONLY: ", open for writing", os.O_RDWR: ", open for reading and writing"}.get(
        held.flags & os.O_ACCMODE, ""
    )


def _gone_files(files: Iterable[HeldDescriptor]) -> Iterator[str]:
    """Name the files that could not be opened again."""
    for held in files:
        try:
            os.close(held.open_again())
        except OSError as error:
            yield f"{_in_words(held)}, which cannot be opened again: {error.strerror}"


def _names_of_threads() -> list[str]:
    """Name the threads, beside the main one, that run Python code. Those of native libraries do no harm."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    idents = set(sys._current_frames()) - {threading.main_thread().ident}
    return sorted(names.get(ident, str(ident)) for ident in idents)


def _locks_in_words(files: Iterable[HeldDescriptor]) -> list[str]:
    """Name the files on which this process holds a `fcntl` lock, which belongs to one process only."""
    locked = _locked_inodes()
    return [f"{_in_words(held)}, which is locked" for held in files if held.identity[1] in locked]


def _locked_inodes() -> set[int]:
    try:
        lines = _LOCKS.read_text(encoding="utf-8").splitlines()
    except OSError:  # Not Linux, or the kernel does not show it.
        return set()
    own = str(os.getpid())
    # Number, kind, strictness, access, process, device and inode. An arrow before the kind marks a waiting process.
    rows = [line.split() for line in lines]
    return {int(row[5].rpartition(":")[2]) for row in rows if row[1] == "POSIX" and row[4] == own}


def _shared_mappings() -> Iterator[str]:
    """Yield the names of all writable memory that this process shares with the processes that it forks."""
    if not LINUX:
        return
    with _MAPPINGS.open("rb") as lines:
        for line in lines:
            permissions = line.partition(b" ")[2][:4]
            if permissions[1:2] == b"w" and permissions[3:4] == b"s":
                fields = line.split(maxsplit=5)
                yield os.fsdecode(fields[5].strip()) if len(fields) > 5 else _ANONYMOUS  # noqa: PLR2004


def _mapping_in_words(name: str) -> str:
    if name == _ANONYMOUS:
        return "memory that is shared with forked processes"
    return f"{_printable(name)} (mapped to memory, for writing)"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)

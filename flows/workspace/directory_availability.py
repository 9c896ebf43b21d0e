"""Directories that a coordinator writes to: tell their faults (full, gone, read-only) from those of executions."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.open_regular_file import NotARegularFileError

_OF_THE_NAME: Final = (errno.ENAMETOOLONG, errno.EILSEQ)
"""Errors that concern the name of a file and not its directory, so that waiting does not help."""
_ROOM_BYTES: Final = 64 << 20
_ROOM_FRACTION: Final = 0.05
_ROOM_INODES: Final = 100
_TRIAL_BYTES: Final = 1 << 16


class DirectoryUnavailableError(ClimateRefPrefectError):
    """
    A directory of the coordinator is full, gone, read-only or otherwise unusable. No execution is at fault.

    Parameters
    ----------
    place
        Name and path of the directory, for people.
    reason
        The error in the words of the operating system.
    part
        The part of it that is affected, if the rest may work: for example the directory of one provider.
    """

    def __init__(self, place: str, reason: str, part: str = "") -> None:
        self.place = place
        self.part = part
        super().__init__(f"The {place} is not available: {reason}.")


def fault_key(title: str, part: str) -> str:
    """Return the key of a fault of a directory, or of a part of it."""
    return f"{title}: {part}" if part else title


class GuardedDirectory:
    """
    A directory that a coordinator writes to, whose file system must stay the same meanwhile.

    Parameters
    ----------
    name
        Name for people, for example `scratch directory`.
    root
        The directory, which exists.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._device = root.stat().st_dev if root.exists() else None
        self._names = (root, root.resolve())

    @property
    def title(self) -> str:
        """Name and path, for people."""
        return f"{self.name} {self.root}"

    def key(self, part: str = "") -> str:
        """Return the key of a fault of this directory, or of a part of it."""
        return fault_key(self.title, part)

    def keys(self, part: str) -> tuple[str, str]:
        """Return the keys of the faults that affect a part: that of the whole directory and that of the part."""
        return self.key(), self.key(part)

    def check(self) -> None:
        """
        Check that the directory is still on the same file system.

        Raises
        ------
        DirectoryUnavailableError
            If it is gone, or is an empty directory of another file system because its own has been unmounted.
        """
        try:
            device = self.root.stat().st_dev
            if device == self._device:
                return
            emptied = self._device is not None and not any(self.root.iterdir())
        except OSError as error:
            raise DirectoryUnavailableError(self.title, _words(error)) from error
        if emptied:
            raise DirectoryUnavailableError(self.title, "its file system is not mounted any more")
        self._device = device

    @contextmanager
    def guarded(self, part: str = "", *, others_pass: bool = False) -> Iterator[None]:
        """
        Turn errors of reading and writing in this directory into errors of the directory itself.

        Parameters
        ----------
        part
            The part of it that is worked in.
        others_pass
            Whether errors pass that name a file elsewhere: those of a recorder, which may read and write anywhere.

        Raises
        ------
        DirectoryUnavailableError
            For each error of the operating system that does not concern a file name.
        """
        self.check()
        try:
            yield
        except OSError as error:
            if error.errno in _OF_THE_NAME or isinstance(error, NotARegularFileError):
                raise
            if others_pass and self._is_of_another(error):
                raise
            raise DirectoryUnavailableError(self.title, _words(error), part) from error

    def _is_of_another(self, error: OSError) -> bool:
        """Whether an error names files, and none of them lies in this directory."""
        named = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str)]
        return bool(named) and not any(path.is_relative_to(root) for path in named for root in self._names)

    def has_room(self) -> bool:
        """Whether there is enough space for an execution, by a trial write and the figures of the file system."""
        try:
            with tempfile.TemporaryFile(dir=self.root, buffering=0) as trial:
                trial.write(bytes(_TRIAL_BYTES))
                os.fsync(trial.fileno())
            status = os.statvfs(self.root)
        except OSError:
            return False
        wanted = min(_ROOM_BYTES, _ROOM_FRACTION * status.f_blocks * status.f_frsize)
        has_inodes = status.f_files == 0 or status.f_favail >= _ROOM_INODES
        return status.f_bavail * status.f_frsize >= wanted and has_inodes


def _words(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"

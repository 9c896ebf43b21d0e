"""The places that a coordinator writes to: told from an execution's own trouble when they are full, gone or closed."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.transports.worker.regular_files import NotARegularFileError

_OF_THE_NAME: Final = (errno.ENAMETOOLONG, errno.EILSEQ)
"""Errors of a file system that another moment does not mend: the name is at fault, not the place."""
_ROOM_BYTES: Final = 64 << 20
_ROOM_FRACTION: Final = 0.05
_ROOM_INODES: Final = 100
_TRIAL_BYTES: Final = 1 << 16


class PlaceUnavailableError(ClimateRefPrefectError):
    """
    A directory of the coordinator's is full, gone, read-only or in other trouble, which is no execution's fault.

    Parameters
    ----------
    place
        Which one, as people know it.
    reason
        In the words of the operating system.
    part
        What of it, where the rest may work: for example the directory of one provider.
    """

    def __init__(self, place: str, reason: str, part: str = "") -> None:
        self.place = place
        self.part = part
        super().__init__(f"The {place} is not available: {reason}.")


def key_of(title: str, part: str) -> str:
    """Return what a fault of a place is known by, or of a part of it."""
    return f"{title}: {part}" if part else title


class Place:
    """
    A directory that a coordinator writes to for as long as it works, as it was at the beginning.

    Parameters
    ----------
    name
        For people, for example `scratch directory`.
    root
        Is there already.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._device = root.stat().st_dev if root.exists() else None

    @property
    def title(self) -> str:
        """Name and path, for people."""
        return f"{self.name} {self.root}"

    def key(self, part: str = "") -> str:
        """Return what a fault of the place, or of a part of it, is known by."""
        return key_of(self.title, part)

    def keys(self, part: str) -> tuple[str, str]:
        """Return what faults are known by that concern a part: its own, and that of the whole."""
        return self.key(), self.key(part)

    def check(self) -> None:
        """
        Hold that the directory is still the one that it was.

        Raises
        ------
        PlaceUnavailableError
            If it is gone, or an empty directory of another file system, as where its own has been unmounted.
        """
        try:
            device = self.root.stat().st_dev
            if device == self._device:
                return
            emptied = self._device is not None and not any(self.root.iterdir())
        except OSError as error:
            raise PlaceUnavailableError(self.title, _words(error)) from error
        if emptied:
            raise PlaceUnavailableError(self.title, "its file system is not mounted any more")
        self._device = device

    @contextmanager
    def used(self, part: str = "") -> Iterator[None]:
        """
        Tell trouble with the place from that of an execution, for all that is read and written in it.

        Raises
        ------
        PlaceUnavailableError
            For each error of the operating system that is not about a name.
        """
        self.check()
        try:
            yield
        except OSError as error:
            if error.errno in _OF_THE_NAME or isinstance(error, NotARegularFileError):
                raise
            raise PlaceUnavailableError(self.title, _words(error), part) from error

    def has_room(self) -> bool:
        """Whether there is some room for an execution, as far as a trial and the file system's own figures tell."""
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

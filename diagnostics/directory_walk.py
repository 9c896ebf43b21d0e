"""Walk through a data tree and find the directories that hold NetCDF files."""

import logging
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS
from climate_ref_prefect.diagnostics.directory_listing import (
    DirectoryListing,
    DirectoryListings,
    is_netcdf,
    is_text,
    listing_of,
)
from climate_ref_prefect.diagnostics.errors import BadInputError

logger = logging.getLogger(__name__)

Status = os.stat_result | OSError
"""The status of a file, or the error of reading it."""


class NetcdfDirectory(NamedTuple):
    """A directory that holds NetCDF files."""

    path: str
    names: tuple[str, ...]
    """The names of the directory and of those above it, as many as there are facets."""

    fitting: tuple[str, ...]
    """Names of the files of its data set, in order of time."""

    strangers: tuple[str, ...]
    """Names of its other NetCDF files."""

    statuses: Mapping[str, Status]
    """What is known already of some of the files, by their names."""


class _Place(NamedTuple):
    """A directory on the way through the tree."""

    path: str
    names: tuple[str, ...]
    passed: tuple[str, ...]
    """The real directories in which the way has followed a link."""

    link: tuple[str, str]
    """The path of the last link on the way, or of the root, without a slash at the end, and where it really is."""

    @property
    def inside(self) -> str:
        """What the paths of its entries begin with."""
        return self.path.rstrip(os.sep) + os.sep

    @property
    def real_path(self) -> str:
        """Where it really is."""
        path, target = self.link
        return target.rstrip(os.sep) + self.path[len(path) :]


def netcdf_directories(root: str, listings: DirectoryListings | None = None) -> Iterator[NetcdfDirectory]:
    """
    Yield each directory that has NetCDF files, in no particular order.

    Directories that are symbolic links are followed, unless they lead back to a directory that the way has passed.
    A directory that cannot be read is left out with a warning, and so is a pipe, socket or device.

    Parameters
    ----------
    root
        An absolute path.
    listings
        What is known of directories; one that is known and unchanged is not listed again.

    Raises
    ------
    BadInputError
        If the root cannot be read.
    """
    above = Path(root).parts[-len(FACETS) :]
    pending = [_Place(root, above, (), (root.rstrip(os.sep), os.path.realpath(root)))]
    while pending:
        place = pending.pop()
        path, names, passed, link = place
        listing = _listing(place, listings, is_root=path is root)
        if listing is None:
            continue
        if listing.subdirectories:
            inside, upper = place.inside, names[1 - len(FACETS) :]
            pending += [_Place(inside + name, (*upper, name), passed, link) for name in listing.subdirectories]
        if listing.examined:
            examined = _Examined(place, listing)
            pending += examined.directories
            if examined.files:
                yield examined.netcdf_directory(listing)
        elif listing.fitting or listing.strangers:
            yield NetcdfDirectory(path, names, listing.fitting, listing.strangers, {})


def _listing(place: _Place, listings: DirectoryListings | None, *, is_root: bool) -> DirectoryListing | None:
    if listings is None:
        return _listed(place, is_root=is_root)
    try:
        # Through its own entry: a file system that is mounted when it is used is not mounted for its name alone.
        status = os.stat(f"{place.path}/.")  # noqa: PTH116 - asked of every directory
    except OSError:  # Listing it will report that.
        return _listed(place, is_root=is_root)
    listing = listings.find(place.path, status)
    if listing is None and (listing := _listed(place, is_root=is_root)) is not None:
        listings.remember(place.path, status, listing)
    return listing


def _listed(place: _Place, *, is_root: bool) -> DirectoryListing | None:
    try:
        with os.scandir(place.path) as entries:
            return listing_of(entries, place.names)
    except OSError as error:  # For example no permission, a stale handle, or a failing disk or server.
        if is_root:
            raise BadInputError(f"The data directory {place.path} cannot be read: {error.strerror}.") from error
        logger.warning("Cannot look into %r (%s); what is below it is left out.", place.path, error.strerror)
        return None


class _Examined:
    """What the links and special files of a directory are at present."""

    def __init__(self, place: _Place, listing: DirectoryListing) -> None:
        self._place = place
        self.directories: list[_Place] = []
        self._statuses: dict[str, Status] = {}
        for name in listing.examined:
            self._examine(name)
        no_files = set(listing.examined).difference(self._statuses)
        self.files = {*self._statuses, *listing.strangers, *listing.fitting} - no_files
        """Names of all NetCDF files of the directory."""

    def netcdf_directory(self, listing: DirectoryListing) -> NetcdfDirectory:
        """Return the directory with those of its files that are there at present."""
        fitting = tuple(name for name in listing.fitting if name in self.files)
        strangers = tuple(sorted(self.files.difference(fitting)))
        return NetcdfDirectory(self._place.path, self._place.names, fitting, strangers, self._statuses)

    def _examine(self, name: str) -> None:
        path = self._place.inside + name
        status = status_of(path)
        if isinstance(status, OSError):
            if is_netcdf(name):  # An unreadable file fails the executions that read it.
                self._statuses[name] = status
            elif not isinstance(status, FileNotFoundError) and not name.endswith(".nc"):
                # A link to itself, or into a directory that must not be read.
                logger.warning("Cannot look at %r (%s); it is left out.", path, status.strerror)
        elif stat.S_ISDIR(status.st_mode):
            self._follow(name, path)
        elif is_netcdf(name):
            if stat.S_ISREG(status.st_mode):
                self._statuses[name] = status
            else:  # Opening it for reading may wait for ever.
                logger.warning("%r is a pipe, socket or device; it is left out.", path)

    def _follow(self, name: str, path: str) -> None:
        """Go on behind a link to a directory, unless it leads back to one that the way has passed."""
        if not is_text(name):
            return
        target = os.path.realpath(path)
        passed = (*self._place.passed, self._place.real_path)
        inside = target.rstrip(os.sep) + os.sep
        if not any(f"{place}{os.sep}".startswith(inside) for place in passed):
            names = (*self._place.names[1 - len(FACETS) :], name)
            self.directories.append(_Place(path, names, passed, (path, target)))


def status_of(path: str) -> Status:
    """Return the status of what a path leads to, or the error of reading it."""
    try:
        return os.stat(path)  # noqa: PTH116 - asked of every file
    except OSError as error:
        return error

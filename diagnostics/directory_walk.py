"""Walk through a data tree and find the directories that hold NetCDF files."""

import logging
import os
import stat
from collections.abc import Iterator, Mapping
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

    fitting: tuple[str, ...]
    """Names of the files of its data set, in order of time."""

    strangers: tuple[str, ...]
    """Names of its other NetCDF files."""

    statuses: Mapping[str, Status]
    """What is known already of some of the files, by their names."""


class _Way(NamedTuple):
    """How the walk has come to a directory."""

    passed: tuple[str, ...]
    """The real directories in which the way has followed a link."""

    link: tuple[str, str]
    """The path of the last link on the way, or of the root, without a slash at the end, and where it really is."""

    def real_path(self, path: str) -> str:
        """Return where a directory really is to which the way has led."""
        link, target = self.link
        return target.rstrip(os.sep) + path[len(link) :]


def netcdf_directories(root: str, listings: DirectoryListings | None = None) -> Iterator[NetcdfDirectory]:
    """
    Yield each directory that has NetCDF files, nearly in the order of the paths.

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
    pending = [(root, _Way((), (root.rstrip(os.sep), os.path.realpath(root))))]
    while pending:
        path, way = pending.pop()
        found = _found(path, listings, is_root=path is root)
        if found is None:
            continue
        path, listing = found
        if listing.subdirectories:
            inside = _inside(path)
            pending += [(inside + name, way) for name in reversed(listing.subdirectories)]
        if listing.examined:
            examined = _Examined(path, way, listing)
            pending += examined.directories
            if examined.files:
                yield examined.netcdf_directory(listing)
        elif listing.fitting or listing.strangers:
            yield NetcdfDirectory(path, listing.fitting, listing.strangers, {})


def innermost_names(path: str) -> list[str]:
    """Return the names of a directory and of those above it, as many as there are facets."""
    return path.split("/")[-len(FACETS) :]


def _inside(path: str) -> str:
    """Return what the paths of the entries of a directory begin with."""
    return path.rstrip(os.sep) + os.sep


def _found(path: str, listings: DirectoryListings | None, *, is_root: bool) -> tuple[str, DirectoryListing] | None:
    """Return what the directory holds, or one below it where the way does not divide before."""
    if listings is None:
        listing = _listed(path, is_root=is_root)
    elif (known := listings.find(path)) is not None:
        return known
    else:
        listing = _listed_anew(path, listings, is_root=is_root)
    return None if listing is None else (path, listing)


def _listed_anew(path: str, listings: DirectoryListings, *, is_root: bool) -> DirectoryListing | None:
    try:
        # Through its own entry: a file system that is mounted when it is used is not mounted for its name alone.
        status = os.stat(f"{path}/.")  # noqa: PTH116 - asked of every directory
    except OSError:  # Listing it will report that.
        return _listed(path, is_root=is_root)
    listing = _listed(path, is_root=is_root)
    if listing is not None:
        listings.remember(path, status, listing)
    return listing


def _listed(path: str, *, is_root: bool) -> DirectoryListing | None:
    try:
        with os.scandir(path) as entries:
            return listing_of(entries, innermost_names(path))
    except OSError as error:  # For example no permission, a stale handle, or a failing disk or server.
        if is_root:
            raise BadInputError(f"The data directory {path} cannot be read: {error.strerror}.") from error
        logger.warning("Cannot look into %r (%s); what is below it is left out.", path, error.strerror)
        return None


class _Examined:
    """What the links and special files of a directory are at present."""

    def __init__(self, path: str, way: _Way, listing: DirectoryListing) -> None:
        self._path = path
        self._way = way
        self.directories: list[tuple[str, _Way]] = []
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
        return NetcdfDirectory(self._path, fitting, strangers, self._statuses)

    def _examine(self, name: str) -> None:
        path = _inside(self._path) + name
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
        passed = (*self._way.passed, self._way.real_path(self._path))
        inside = target.rstrip(os.sep) + os.sep
        if not any(f"{place}{os.sep}".startswith(inside) for place in passed):
            self.directories.append((path, _Way(passed, (path, target))))


def status_of(path: str) -> Status:
    """Return the status of what a path leads to, or the error of reading it."""
    try:
        return os.stat(path)  # noqa: PTH116 - asked of every file
    except OSError as error:
        return error

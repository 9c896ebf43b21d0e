"""What a directory of a data tree holds, by the names in it, as far as that is the same until the directory changes."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from climate_ref_prefect.diagnostics.data_reference_syntax import fitting_files


class DirectoryListing(NamedTuple):
    """
    The names in a directory that a catalogue needs.

    It follows from the names and kinds of the entries alone, so that it holds until an entry is made, removed or
    renamed. What may change without that, the file or directory that a link leads to, is no part of it.
    """

    subdirectories: tuple[str, ...]
    """In the order of their names."""

    examined: tuple[str, ...]
    """Links, pipes, sockets and devices: what they are has to be looked at each time."""

    fitting: tuple[str, ...]
    """Names of files of the data set that the directory is named for, in order of time; they may be examined ones."""

    strangers: tuple[str, ...]
    """Names of other NetCDF files that are no links."""


class DirectoryListings(Protocol):
    """Listings that are known from an earlier look."""

    def find(self, directory: str) -> tuple[str, DirectoryListing] | None:
        """
        Return a directory and what it holds; None unless the one that is asked for is known and has not changed since.

        It is the one that is asked for, or one below it: those with a single subdirectory and no file of interest may
        be passed over if they have not changed either.
        """
        ...

    def remember(self, directory: str, status: os.stat_result, listing: DirectoryListing) -> None:
        """Keep what a directory holds. Its status was read before it was listed."""
        ...


def listing_of(entries: Iterable[os.DirEntry[str]], directories: Sequence[str]) -> DirectoryListing:
    """
    Return the listing of a directory.

    Parameters
    ----------
    entries
        The entries of the directory.
    directories
        The names of the directory and of those above it, as many as there are facets.
    """
    subdirectories: list[str] = []
    examined: list[str] = []
    files: list[str] = []
    for entry in entries:
        name = entry.name
        try:
            if entry.is_symlink():
                examined.append(name)
            elif entry.is_dir(follow_symlinks=False):
                if is_text(name):
                    subdirectories.append(name)
            elif is_netcdf(name):
                (files if entry.is_file(follow_symlinks=False) else examined).append(name)
        except OSError:  # Its kind is asked of the file system, which fails; the next look meets the same error.
            examined.append(name)
    fitting = fitting_files(directories, filter(is_netcdf, (*files, *examined)))
    strangers = sorted(set(files).difference(fitting))
    return DirectoryListing(tuple(sorted(subdirectories)), tuple(examined), fitting, tuple(strangers))


def is_netcdf(name: str) -> bool:
    """Whether a name is one of a NetCDF file that is not hidden."""
    return name.endswith(".nc") and not name.startswith(".")


def is_text(name: str) -> bool:
    """Whether a name can be encoded in UTF-8, and so be written to JSON."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

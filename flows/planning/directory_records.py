"""
What the catalogue file keeps of directories, as text.

A record is about a chain: a directory, and those below it as long as each has a single subdirectory and no file of
interest. A data set often lies below several of them, and one record is read and compared in less time than many.
No name has a slash or a NUL in it: slashes separate names, and two slashes the fields of a record.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from climate_ref_prefect.diagnostics.directory_listing import DirectoryListing

FIELDS: Final = ("chain", "stamps", *DirectoryListing._fields)
"""Names of the further directories of the chain, the stamps of all of them, and the listing of the last."""

_STAMP: Final = struct.Struct("<QqQqq")
_WIDTH: Final = 2 * _STAMP.size
"""Length of a stamp in a record: two digits for a byte."""

_ONLY_SUBDIRECTORIES: Final = 3 * "//"
"""How a record ends without any file."""


def stamp(directory: str) -> bytes | None:
    """
    Return what changes when an entry of a directory is made, removed or renamed; None if it cannot be kept.

    Raises
    ------
    OSError
        If the status of the directory cannot be read.
    """
    # Through its own entry: a file system that is mounted when it is used is not mounted for its name alone.
    return stamp_of(os.stat(f"{directory}/."))  # noqa: PTH116 - asked of every directory


def stamp_of(status: os.stat_result) -> bytes | None:
    """Return the stamp of a directory by its status."""
    # Without the device: a network file system has another number at each mount.
    try:
        return _STAMP.pack(status.st_ino, status.st_size, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)
    except struct.error:  # A time after 2262.
        return None


def record_of(stamped: bytes, listing: DirectoryListing) -> str:
    """Return the record of one directory."""
    return "//".join(("", stamped.hex(), *map("/".join, listing)))


def end_of_unchanged(directory: str, record: str) -> tuple[str, DirectoryListing] | None:
    """Return the last directory of a chain and what it holds; None unless no directory of the chain has changed."""
    chain, stamps, subdirectories, examined, fitting, strangers = record.split("//")
    end = directory
    try:
        seen = stamp(end) or b""
        for name in _names(chain):
            end = f"{end}/{name}"
            seen += stamp(end) or b""
    except OSError:  # Listing it will report that.
        return None
    if seen.hex() != stamps:
        return None
    return end, DirectoryListing(_names(subdirectories), _names(examined), _names(fitting), _names(strangers))


def single_records(directory: str, record: str) -> Iterator[tuple[str, str]]:
    """Yield each directory of a chain with a record of its own."""
    chain, stamps, *listing = record.split("//")
    for position, name in enumerate(_names(chain)):
        own = stamps[position * _WIDTH : (position + 1) * _WIDTH]
        yield directory, "//".join(("", own, name, "", "", ""))
        directory = f"{directory}/{name}"
    yield directory, "//".join(("", stamps[-_WIDTH:], *listing))


def chained(records: dict[str, str]) -> dict[str, str]:
    """Return records with those of each chain joined, given with each directory after the one that it is in."""
    joined: dict[str, str] = {}
    for directory in reversed(records):
        record = records[directory]
        if record.endswith(_ONLY_SUBDIRECTORIES):
            record = _with_what_follows(directory, record, joined)
        joined[directory] = record
    return joined


def _with_what_follows(directory: str, record: str, joined: dict[str, str]) -> str:
    """Return the record with that of the only subdirectory, which is taken out of those that are joined already."""
    chain, stamps, below, *_ = record.split("//")
    names = "/".join(filter(None, (chain, below)))
    further = None if "/" in below else joined.pop(f"{directory}/{names}", None)
    if not below or further is None:
        return record
    lower_chain, lower_stamps, listing = further.split("//", maxsplit=2)
    names = "/".join(filter(None, (names, lower_chain)))
    return f"{names}//{stamps}{lower_stamps}//{listing}"


def text_of(records: Iterable[tuple[str, str]]) -> str:
    """Return directories and their records as one text."""
    return "\0".join("\0".join(pair) for pair in records)


def records_in(text: str) -> dict[str, str]:
    """Return the directories and records of a text that `text_of` has made."""
    fields = text.split("\0") if text else []
    return dict(zip(fields[::2], fields[1::2], strict=True))


def _names(joined: str) -> tuple[str, ...]:
    return tuple(joined.split("/")) if joined else ()

"""
The catalogue file: what earlier solves have found in directories of data, kept in the state directory.

It is a cache and nothing depends on it: a file that is missing, damaged or of another version is made again, and where
it cannot be read or written, planning goes without. Nobody writes into the file that others read: a new one replaces
it, so that solves at the same time need no lock, and whichever ends last determines what is kept.
"""

import logging
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

from climate_ref_prefect.diagnostics.data_reference_syntax import RULES
from climate_ref_prefect.diagnostics.directory_listing import DirectoryListing, is_text
from climate_ref_prefect.flows.planning.directory_records import (
    FIELDS,
    chained,
    end_of_unchanged,
    record_of,
    records_in,
    single_records,
    stamp_of,
    text_of,
)

FILE_NAME: Final = "data-catalogue.db"
_PREFIX: Final = f".{FILE_NAME}-"
_TABLE: Final = "CREATE TABLE directories (root TEXT, part INTEGER, records TEXT, checksum INTEGER, written_at REAL)"
_VERSION: Final = zlib.crc32(f"{_TABLE}\n{FIELDS}\n{RULES}".encode()) >> 1
"""Changes whenever rows mean something else. SQLite keeps it in 31 bits."""

_RECORDS_OF_A_ROW: Final = 20_000
"""A row for each directory would take longer to read than all that is done with it; SQLite limits a row to 1 GB."""

_SETTLED_SECONDS: Final = 30.0
"""
How long a directory must have been the same before it is remembered.

The times of file systems have steps, of up to 2 s: a change within the step in which a directory was listed would not
show in its times. The rest is for the clock of a file server that is behind that of this machine.
"""

_KEPT_SECONDS: Final = 90 * 24 * 3600.0
"""
How long what is known of other data stays after it was written.

Whether the data is still there is not looked at: it may lie on a file system that does not answer.
"""
_LEFT_SECONDS: Final = 3600.0
"""Age at which what a killed solve was writing is removed."""

logger = logging.getLogger(__name__)


class CatalogueFile:
    """
    The listings of directories below a root, as `scan` uses them.

    Parameters
    ----------
    path
        The file.
    root
        The directory that is scanned.
    clock
        Returns the present time, as `time.time` does.
    """

    def __init__(self, path: Path, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._root = str(root)
        self._clock = clock
        self._known: dict[str, str] = {}
        self._found: dict[str, str] = {}
        """Records of this scan; each directory comes after the one that it is in."""
        self._usable = False
        """Whether there is a file of this version that can be read."""
        self._changed = False
        """Whether a directory has been found that was not known, or has changed."""

    def load(self) -> None:
        """Read what is known of the directories below the root. Nothing is known of a file that cannot be read."""
        try:
            self._load()
        except FileNotFoundError:
            return
        except (OSError, sqlite3.Error, ValueError) as error:
            logger.warning("The data catalogue %s cannot be read (%s); every directory is listed.", self._path, error)

    def find(self, directory: str) -> tuple[str, DirectoryListing] | None:
        """Return what a directory holds, or one at the end of a chain; None unless it is known and has not changed."""
        record = self._known.get(directory)
        if record is None:
            return None
        found = end_of_unchanged(directory, record)
        if found is not None:
            self._found[directory] = record
            return found
        if record.startswith("//"):  # No chain: it has changed itself.
            return None
        self._known.update(single_records(directory, record))
        return self.find(directory)

    def remember(self, directory: str, status: os.stat_result, listing: DirectoryListing) -> None:
        """Keep what a directory holds, unless it may change without a difference in its times."""
        if max(status.st_mtime, status.st_ctime) > self._clock() - _SETTLED_SECONDS:
            return
        stamp = stamp_of(status)
        if stamp is not None and is_text(directory + (record := record_of(stamp, listing))):  # SQLite keeps no other.
            self._found[directory] = record
            self._changed = True

    def save(self) -> None:
        """Write what this scan has found to the file, if anything has changed. An error is logged, not raised."""
        if len(self._found) == len(self._known) and not self._changed:
            return
        try:
            self._remove_left()
            try:
                self._replace()
            except sqlite3.DatabaseError:  # The present file is damaged where `load` did not look.
                self._usable = False
                self._replace()
        except (OSError, sqlite3.Error) as error:
            logger.warning(
                "The data catalogue %s cannot be written (%s); the next solve lists directories again.",
                self._path,
                error,
            )

    def _load(self) -> None:
        self._path.stat()
        with closing(_opened(self._path)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != _VERSION:
                logger.info("The data catalogue %s is of another version, and is made again.", self._path)
                return
            known: dict[str, str] = {}
            query = "SELECT records, checksum FROM directories WHERE root = ?"
            for records, checksum in connection.execute(query, (self._root,)):
                known |= _read(records, checksum)
        self._known, self._usable = known, True

    def _replace(self) -> None:
        """Make the file anew, from a copy of the present one if that can be used."""
        with TemporaryDirectory(prefix=_PREFIX, dir=self._path.parent) as directory:
            written = Path(directory) / FILE_NAME
            if self._usable:
                shutil.copyfile(self._path, written)
            with closing(sqlite3.connect(written)) as connection:
                connection.execute("PRAGMA journal_mode = OFF")  # What is not complete is never used.
                connection.execute("PRAGMA synchronous = OFF")
                if not self._usable:
                    connection.execute(_TABLE)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                self._write(connection)
                connection.commit()
            written.replace(self._path)

    def _remove_left(self) -> None:
        """Remove what a solve was writing when it was killed."""
        for path in self._path.parent.glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):  # Another solve has just ended.
                if path.stat().st_mtime < self._clock() - _LEFT_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _write(self, connection: sqlite3.Connection) -> None:
        now = self._clock()
        connection.execute(
            "DELETE FROM directories WHERE root = ? OR written_at < ?", (self._root, now - _KEPT_SECONDS)
        )
        records = iter(chained(self._found).items())
        for part in count():
            if not (chunk := list(islice(records, _RECORDS_OF_A_ROW))):
                return
            text = text_of(chunk)
            row = (self._root, part, text, zlib.crc32(text.encode()), now)
            connection.execute("INSERT INTO directories VALUES (?, ?, ?, ?, ?)", row)


@contextmanager
def open_catalogue_file(home: Path, root: Path, *, rescan: bool = False) -> Iterator[CatalogueFile]:
    """
    Give what is known of the directories below a root, and keep what has been found if nothing is raised.

    Parameters
    ----------
    home
        The state directory.
    root
        The directory that is scanned.
    rescan
        Whether to forget first what is known, of these directories and of all others.
    """
    file = CatalogueFile(home / FILE_NAME, root)
    if not rescan and is_text(str(root)):  # The scan refuses any other.
        file.load()
    yield file
    file.save()


def _opened(path: Path) -> sqlite3.Connection:
    # Nobody writes into it, so that no lock is needed, not even on a file system that has none.
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)


def _read(written: str, checksum: int) -> dict[str, str]:
    if zlib.crc32(written.encode()) != checksum:
        raise ValueError("what it says of directories is damaged")
    return records_in(written)

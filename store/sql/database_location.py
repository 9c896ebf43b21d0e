"""The location of the database: its URL, whether it can be written, whether it lies on a network file system."""

import os
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from climate_ref_prefect.diagnostics.errors import BadInputError

SQLITE = "sqlite"
POSTGRESQL = "postgresql+psycopg"

_DRIVERS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, POSTGRESQL: POSTGRESQL}
_VALID = (
    "Valid: sqlite:///relative/path.db, sqlite:////absolute/path.db, "
    "postgresql://user:password@host:5432/database (the same as postgresql+psycopg://)."
)

# fmt: off
_NETWORK_FILE_SYSTEMS = frozenset((
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "dvs", "fhgfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte", "smb3", "smbfs", "sshfs", "wekafs",
))
# fmt: on


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, whatever characters its path has."""
    return f"{SQLITE}:///{quote(str(path.absolute()))}"


def parse_location(url: str) -> URL:
    """
    Read the URL of a database; opens nothing.

    Returns
    -------
    URL
        With the driver that is used, and for SQLite with an absolute path.

    Raises
    ------
    BadInputError
        If it is neither SQLite in a file nor PostgreSQL. The message lists what is valid.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not shown: whatever it is, it may hold a password.
        raise BadInputError(f"This is not the URL of a database. {_VALID}") from None
    if parsed.drivername not in _DRIVERS:
        raise BadInputError(f"There is no support for {parsed.drivername!r} databases. {_VALID}")
    if "@" in (parsed.host or ""):
        # Not shown: the host is the end of a password.
        raise BadInputError("In the URL of a database `@` comes before the host alone: in a password it is `%40`.")
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    return _with_absolute_path(parsed, url) if parsed.drivername == SQLITE else parsed


def _with_absolute_path(parsed: URL, url: str) -> URL:
    if not parsed.database or parsed.database == ":memory:":
        raise BadInputError(f"A database in memory would be lost at the end; name a file. {_VALID}")
    if "?" in url or parsed.host:
        raise BadInputError(f"After sqlite:/// comes the path of a file and nothing else. {_VALID}")
    path = unquote(url.partition(":///")[2])  # SQLAlchemy 2.0 leaves it as it is written, 2.1 does this, too
    return parsed.set(database=str(Path(path).expanduser().absolute()))


def location_name(url: URL) -> str:
    """Return the database's name for people: the path, or the URL without password and options."""
    if url.drivername == SQLITE:
        return str(url.database)
    # Options may hold a password too.
    return URL.create("postgresql", url.username, None, url.host, url.port, url.database).render_as_string()


def prepare_directory(path: Path) -> None:
    """
    Make the directory of an SQLite file, and check that it and the file can be written.

    An existing file is never opened here: closing it would drop the locks that SQLite holds on it
    elsewhere in this process.

    Raises
    ------
    BadInputError
        If it cannot be made or written. The message says why.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(
            f"The database {path} cannot be made: {error.strerror} ({error.filename}). Choose another place."
        ) from error
    if path.exists() and not path.is_file():
        raise BadInputError(f"The database {path} is not a file. Choose another place.")
    for wanted in (path.parent, path):
        if wanted.exists() and not os.access(wanted, os.W_OK):
            raise BadInputError(
                f"The database {path} cannot be written: no permission to write {wanted}, or its file system "
                "is mounted read-only. Choose another place."
            )


def network_file_system(path: Path, mounts: str) -> str | None:
    """
    Return the type of the network file system that a path lies on; none on a local one.

    Parameters
    ----------
    path
        Absolute, without links.
    mounts
        Text of `/proc/mounts`.
    """
    kind, longest = "", -1
    for line in mounts.splitlines():
        _, mount_point, mounted, *_ = line.split(" ")
        point = Path(_unescape(mount_point))
        # A later mount on the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= longest:
            kind, longest = mounted, len(point.parts)
    return kind if kind.removeprefix("fuse.") in _NETWORK_FILE_SYSTEMS else None


def _unescape(field: str) -> str:
    """Undo the octal escapes that the kernel writes for blanks and backslashes."""
    for escaped, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escaped, character)
    return field


def read_mounts() -> str:
    """Return what is mounted; nothing where there is no `/proc`, as on macOS."""
    try:
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""

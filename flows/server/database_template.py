"""
The migrated database with which a Prefect server begins in a fresh state directory.

The migrations take longer than everything else at the start of a server. They are done once for each version of
Prefect, in the user's cache directory, and copied. Whatever goes wrong with that, the server migrates by itself.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import quote

from climate_ref_prefect.execution.host.process_tree import end_with_parent

DATABASE_URL: Final = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DATABASE: Final = "prefect.db"
_OF_SQLITE: Final = ("-wal", "-shm", "-journal")
_FAULTS: Final = (OSError, RuntimeError, sqlite3.Error, subprocess.SubprocessError)
_MAKE_SECONDS: Final = 600.0
_SAY_SECONDS: Final = 10.0


def database_url(directory: Path) -> str:
    """Return the URL of the database that a Prefect server has in this directory unless it is told otherwise."""
    return f"sqlite+aiosqlite:///{quote(str(directory / DATABASE))}"


def make_database(directory: Path, environment: Mapping[str, str]) -> None:
    """
    Give a Prefect server that has no database a migrated one, if possible.

    Parameters
    ----------
    directory
        Where it keeps its database. Nothing else may be using it.
    environment
        That of the server. If it names another database, nothing is done.
    """
    database = directory / DATABASE
    if database.exists() or environment[DATABASE_URL] != database_url(directory):
        return
    new = directory / f"{DATABASE}.new"
    try:
        shutil.copyfile(_template(environment), new)
        _check(new)
        for ending in _OF_SQLITE:  # SQLite would apply what is left of an earlier database to this one.
            database.with_name(f"{DATABASE}{ending}").unlink(missing_ok=True)
        new.replace(database)
    except _FAULTS as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        _say(f"Prefect's server migrates its database by itself, because there is no template of it: {error}")


def cache_directory() -> Path:
    """Return where templates lie."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "climate-ref-prefect"


def _template(environment: Mapping[str, str]) -> Path:
    """Return the template for this version of Prefect; make it if it is missing or broken."""
    cache = cache_directory()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    template = cache / f"prefect-{version('prefect')}.db"
    with _locked(template.with_suffix(".lock")):
        try:
            _check(template)
        except (OSError, sqlite3.Error):
            _make(template, environment)
    return template


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; while another process makes the template, say so, so that the start is seen to make progress."""
    give_up_at = time.monotonic() + _MAKE_SECONDS
    say_at = time.monotonic() + _SAY_SECONDS
    with path.open("ab") as file:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if (now := time.monotonic()) > give_up_at:
                raise TimeoutError(f"{path} is held for {_MAKE_SECONDS:g} s")
            if now > say_at:
                _say("Another process migrates the template of Prefect's database ...")
                say_at = now + _SAY_SECONDS
            time.sleep(0.1)
        yield


def _make(template: Path, environment: Mapping[str, str]) -> None:
    """Make the template. Whoever does holds its lock."""
    prefix = f"{template.stem}-"
    for left in template.parent.glob(f"{prefix}*"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=template.parent, prefix=prefix) as place:
        made = Path(place, DATABASE)
        subprocess.run(
            [sys.executable, "-P", "-m", "prefect", "server", "database", "upgrade", "-y"],
            env={**environment, "PREFECT_HOME": place, DATABASE_URL: database_url(Path(place))},
            stdin=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # A server's parent has one thread: none can hold a lock at the fork.
            check=True,
            timeout=_MAKE_SECONDS,
        )
        with contextlib.closing(sqlite3.connect(made)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # All is in one file then.
        _check(made)
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(template)


def _check(database: Path) -> None:
    """Raise an error unless this is a whole database whose migrations are done."""
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
        (said,) = connection.execute("PRAGMA quick_check").fetchone()
        if said != "ok" or not connection.execute("SELECT version_num FROM alembic_version").fetchall():
            raise sqlite3.DatabaseError(f"{database} is broken: {said}")


def _say(text: str) -> None:
    """Write a line into the log of the server."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

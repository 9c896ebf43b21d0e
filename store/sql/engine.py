"""Engines for the two databases, and the conversion of their errors."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.errors import MissingDriverError, StoreRefusedError, StoreUnavailableError
from climate_ref_prefect.store.sql.database_location import SQLITE, network_file_system, read_mounts
from climate_ref_prefect.store.sql.sqlite_file_identity import DatabaseFile

BUSY_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10
BEGIN = "sqlite_begin"
"""Execution option: how a transaction begins on SQLite, for example `IMMEDIATE`."""

_AGAIN_SECONDS = 0.01
_POOL_SIZE = 8
_MORE_CONNECTIONS = 24
_CANNOT_BE_OPENED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PERM)
_CONNECT_ARGS = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    # Set explicitly, because PGCLIENTENCODING may name an encoding that lacks characters of a name.
    "client_encoding": "UTF8",
    # A firewall that has dropped a connection answers nothing. These options show it in seconds, not in 15 minutes.
    "keepalives_idle": 60,
    "keepalives_interval": 15,
    "tcp_user_timeout": 30_000,
}
_OUT_OF_ORDER = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LIMIT_OF_A_ROW = "54"
"""Class of PostgreSQL's errors for values that are too large, for example a name that no index can hold."""
_NO_VALUE_IS_AT_FAULT = ("42501", "42P01", "42703", "3F000")
"""PostgreSQL's codes for a right, table, column or schema that is missing."""
_PRIMARY_CODE = 0xFF
"""The low byte of an extended SQLite result code is the primary code."""


def build_engine(url: URL, *, foreign_keys: bool = True) -> Engine:
    """
    Build an engine; opens no connection.

    Parameters
    ----------
    url
        From `parse_location`.
    foreign_keys
        Whether SQLite enforces foreign keys. A migration that rebuilds a table must not have them enforced.

    Raises
    ------
    MissingDriverError
        If the URL names PostgreSQL and psycopg is not installed.
    """
    pool: dict[str, Any] = {"pool_size": _POOL_SIZE, "max_overflow": _MORE_CONNECTIONS}
    if url.drivername == SQLITE:
        return _sqlite(url, foreign_keys=foreign_keys, pool=pool)
    return postgresql_engine(url, pool_pre_ping=True, **pool)


def writer(engine: Engine) -> Engine:
    """
    Return the same engine for transactions that write.

    They start as writing transactions on SQLite. A transaction that starts to write later fails at once, instead of
    waiting, if another one has written in between.
    """
    return engine.execution_options(**{BEGIN: "IMMEDIATE"})


def postgresql_engine(url: URL, connect_args: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Engine:
    """
    Build an engine for PostgreSQL; opens no connection.

    Parameters
    ----------
    url
        From `parse_location`.
    connect_args
        More for the driver.
    options
        More for `create_engine`.

    Raises
    ------
    MissingDriverError
        If psycopg is not installed.
    """
    try:
        return create_engine(url, connect_args={**_CONNECT_ARGS, **connect_args}, **options)
    except ImportError as error:
        raise MissingDriverError(
            f"PostgreSQL needs psycopg, which cannot be imported ({error}). "
            "Run `pip install climate-ref-prefect[postgres]`."
        ) from error


def _sqlite(url: URL, *, foreign_keys: bool, pool: Mapping[str, Any]) -> Engine:
    path = Path(str(url.database))
    shared = network_file_system(path.resolve(), read_mounts()) is not None
    options = {"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False}
    engine = create_engine(url, connect_args=options, **pool)
    file = DatabaseFile(path)

    @event.listens_for(engine, "do_connect")
    def hold(*_: object) -> None:
        file.check()  # Otherwise SQLite would create an empty database in place of one that is gone.

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        file.remember()
        # The module would begin transactions where it likes, and none before DDL; `begin` below does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        _set_journal(connection, shared=shared)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        file.check()
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(BEGIN, 'DEFERRED')}")

    return engine


def _set_journal(connection: sqlite3.Connection, *, shared: bool) -> None:
    """Choose WAL, or on a network file system a rollback journal: WAL needs memory that all users of a file share."""
    mode = _with_retries(connection, f"PRAGMA journal_mode = {'DELETE' if shared else 'WAL'}")
    # Without WAL, NORMAL could lose a whole database in a power cut, not just the last transactions.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


def _with_retries(connection: sqlite3.Connection, pragma: str) -> str:
    """Return the answer to a pragma: SQLite fails at once, whatever its timeout, where another changes the journal."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            return str(connection.execute(pragma).fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(_AGAIN_SECONDS)


@contextmanager
def explained(database: str, *, in_use: bool = False) -> Iterator[None]:
    """
    Convert errors of the driver to errors of the store, with a message without SQL.

    Parameters
    ----------
    database
        Name for people, without password.
    in_use
        Whether a coordinator has written to it before: a file that cannot be written any more may be mended meanwhile.

    Raises
    ------
    BadInputError
        If the file cannot be opened or is no database, and is not in use.
    StoreUnavailableError
        If the database is locked, full, damaged, not accessible to this account or not reachable.
    StoreRefusedError
        For every other error of the database, which will never accept these values.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreUnavailableError(f"The database {database} is overloaded: no connection became free.") from error
    except OverflowError as error:
        raise StoreRefusedError(f"The database {database} refuses a number that is too large: {error}.") from error
    except DBAPIError as error:
        raise _explain(database, error, in_use=in_use) from error


def _explain(database: str, error: DBAPIError, *, in_use: bool) -> Exception:
    reason = " ".join(str(error.orig).split())
    if not in_use and _sqlite_code(error) in _CANNOT_BE_OPENED:
        return BadInputError(f"The database {database} cannot be opened or written: {reason}.")
    if _may_pass(error):
        return StoreUnavailableError(f"The database {database} is not available: {reason}.")
    return StoreRefusedError(f"The database {database} refuses this: {reason}.")


def _may_pass(error: DBAPIError) -> bool:
    """Whether an error concerns the present state of the database, and not the values."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state.startswith(_LIMIT_OF_A_ROW):  # an operational error by its class
        return False
    if state in _NO_VALUE_IS_AT_FAULT or _sqlite_code(error) in _OUT_OF_ORDER:
        return True
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def _sqlite_code(error: DBAPIError) -> int:
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & _PRIMARY_CODE

"""The right to coordinate on a PostgreSQL database: one coordinator at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy import URL, Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from climate_ref_prefect.store.engine import CONNECT_TIMEOUT_SECONDS, explained
from climate_ref_prefect.store.errors import CoordinatorBusyError

_LOCK_KEY = 1_129_466_183
"""Any number that is ours alone; locks are counted per database."""

_LONGEST_NAME = 63
"""Bytes that PostgreSQL keeps of an application's name."""

_HOLDER = text(
    "SELECT coalesce(nullif(application_name, ''), 'unknown') || ', connected since ' || "
    "coalesce(to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), 'unknown') "
    "FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = :key "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@contextmanager
def coordinator_lock(url: URL, database: str) -> Iterator[None]:
    """
    Hold the lock while the context lasts, on a connection of its own.

    The server frees it when the connection ends, so a coordinator that dies never leaves it behind.
    It does not work through a pooler that shares connections between transactions.

    Raises
    ------
    CoordinatorBusyError
        If another holds it; says who.
    StoreUnavailableError
        If the database cannot be reached.
    """
    connection = _lock(url, database)
    try:
        yield
    finally:
        # A connection that has broken holds no lock.
        with suppress(DBAPIError):
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
        connection.close()


def _lock(url: URL, database: str) -> Connection:
    options = _connection_options()
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=options)
    with explained(database), ExitStack() as closed_on_error:
        connection = closed_on_error.enter_context(engine.connect())
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY}):
            raise CoordinatorBusyError(database, _holder(connection))
        closed_on_error.pop_all()
        return connection


def _connection_options() -> dict[str, str | int]:
    name = f"climate-ref-prefect {socket.gethostname()} {os.getpid()}"
    # Idle for hours: the probes keep firewalls from forgetting the connection, and notice a dead server.
    return {
        "application_name": name[:_LONGEST_NAME],
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "keepalives_idle": 60,
        "keepalives_interval": 15,
    }


def _holder(connection: Connection) -> str:
    return connection.scalar(_HOLDER, {"key": _LOCK_KEY}) or "it has just ended"

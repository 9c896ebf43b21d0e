"""Transactions on REF's database; those that write check the lease of the coordinator."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.ref import tables
from climate_ref_prefect.ref.lease import database_id, take_lease
from climate_ref_prefect.store.errors import NotCoordinatingError
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.sql.coordinator_lease import Lease
from climate_ref_prefect.store.sql.coordinator_lock import coordinator_lock, coordinator_of, kept
from climate_ref_prefect.store.sql.database_location import SQLITE, location_name
from climate_ref_prefect.store.sql.engine import BEGIN, explained, postgresql_engine, writer

_BUSY_SECONDS: Final = 10.0
"""How long SQLite waits for another writer before the lifecycle is told, which tries again with growing pauses."""

logger = logging.getLogger(__name__)


class RefDatabase:
    """
    REF's database, to which one coordinator of this package at a time may write.

    It has connections of its own: those of REF's `Database` belong to REF's solve, and give up after 5 seconds where
    SQLite is locked.

    Parameters
    ----------
    url
        As REF has it.

    Raises
    ------
    BadInputError
        If it is neither an SQLite file nor PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(make_url(url))
        self.name = location_name(self.url)
        self._engine = _sqlite(self.url) if self._is_sqlite else postgresql_engine(self.url, pool_pre_ping=True)
        self._writer = writer(self._engine)
        self._lease: Lease | None = None
        # SQLite allows one writer at a time. Queueing threads here is fair and costs less than its busy wait.
        self._turn: AbstractContextManager[object] = Lock() if self._is_sqlite else nullcontext()

    @property
    def _is_sqlite(self) -> bool:
        return self.url.get_backend_name() == SQLITE

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> Iterator[None]:
        """
        Hold the right to write until the context ends: a lock keeps others out, and a lease shows if that has failed.

        Raises
        ------
        CoordinatorBusyError
            If another coordinator holds it. The message names it.
        SchemaError
            If another version of this package has made its tables there. The message says what to do.
        """
        lock = coordinator_lock(self.url, self.name, holder)
        lock.take()
        with kept(lock, self.confirm_lease, self.name, notify):
            with self._transaction() as session:
                connection = session.connection()
                tables.are_there(connection, self.name)
                tables.metadata.create_all(connection)
                lease = take_lease(connection, self.name, str(holder))
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if the lease is known to be lost, without asking the database."""
        self._require_lease().raise_if_lost()

    def confirm_lease(self) -> None:
        """Ask the database whether this coordinator still holds the lease; raises `LeaseLostError` if not."""
        if (lease := self._lease) is not None:
            with self.reading() as connection:
                lease.check(connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Write in one transaction, as the coordinator; raises `LeaseLostError` where it is that no longer."""
        lease = self._require_lease()
        with self._transaction() as session:
            lease.check_for_write(session.connection())
            yield session

    @contextmanager
    def writing_as_guest(self) -> Iterator[Session]:
        """Write in one transaction without the lease: only to mend what REF has done to another coordinator's rows."""
        with self._transaction() as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read in one transaction."""
        with explained(self.name, in_use=self._lease is not None), self._engine.begin() as connection:
            yield connection

    def has_tables(self) -> bool:
        """Whether a coordinator of this package has worked here; raises `SchemaError` if one of another version."""
        with self.reading() as connection:
            return tables.are_there(connection, self.name)

    def identity(self) -> str:
        """Return the unique identity that the first coordinator gave to the database."""
        with self.reading() as connection:
            return str(database_id(connection))

    def coordinator(self) -> str | None:
        """Return who coordinates here, for people; None if nobody does."""
        return coordinator_of(self.url, self.name)

    def close(self) -> None:
        """Close all connections. Safe to repeat."""
        self._engine.dispose()

    def _require_lease(self) -> Lease:
        if self._lease is None:
            raise NotCoordinatingError(self.name)
        return self._lease

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with (
            explained(self.name, in_use=self._lease is not None),
            self._turn,
            write_point("transaction"),
            Session(self._writer) as session,
            session.begin(),
        ):
            yield session


def _checked(url: URL) -> URL:
    backend = url.get_backend_name()
    if backend == SQLITE:
        database = url.database or ":memory:"
        if database == ":memory:" or database.startswith("file:"):
            raise BadInputError(
                f"REF's database {url!r} must be a file or on PostgreSQL: workers and locks need a place."
            )
        return url.set(drivername=SQLITE, database=str(Path(database).absolute()), query={})
    if backend != "postgresql":
        raise BadInputError(f"REF's database is of the kind {backend!r}; SQLite and PostgreSQL are supported.")
    return url


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # `begin` below begins, so that a transaction that writes does so at once

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(BEGIN, 'DEFERRED')}")

    return engine

"""Transactions on an open database; those that write check the lease of the coordinator."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.store.errors import NotCoordinatingError
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.sql.coordinator_lease import Lease, store_id, take_lease
from climate_ref_prefect.store.sql.coordinator_lock import coordinator_lock, kept
from climate_ref_prefect.store.sql.database_location import SQLITE, location_name
from climate_ref_prefect.store.sql.engine import explained, writer

logger = logging.getLogger(__name__)


class Database:
    """
    An open database, to which one coordinator at a time may write.

    Parameters
    ----------
    engine
        An engine of `build_engine`; `close` disposes of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = writer(engine)
        # A single query needs no transaction, which would cost two more round trips on PostgreSQL.
        is_sqlite = engine.dialect.name == SQLITE
        self._asker = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self.name = location_name(engine.url)
        """The database's name for people, without password."""
        self._lease: Lease | None = None
        # SQLite allows one writer at a time. Queueing threads here is fair and costs less than its busy wait.
        self._turn: AbstractContextManager[object] = Lock() if engine.dialect.name == SQLITE else nullcontext()

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> Iterator[None]:
        """
        Hold the right to write to this database until the context ends.

        A lock keeps other coordinators out. Each write also checks the lease, an epoch in the database: if the lock is
        lost and another coordinator takes over, every write here raises `LeaseLostError` and changes nothing.

        Parameters
        ----------
        holder
            The coordinator, as other processes see it.
        notify
            Called with a sentence when the lock was lost, and when it is held again.

        Raises
        ------
        CoordinatorBusyError
            If another coordinator holds it. The message names it.
        """
        lock = coordinator_lock(self._engine.url, self.name, holder)
        lock.take()
        with kept(lock, self.confirm_lease, self.name, notify):
            with self._transaction() as connection:
                lease = take_lease(connection, self.name, str(holder))
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if the lease is known to be lost. It does not ask the database, so call it often."""
        if self._lease is not None:
            self._lease.raise_if_lost()

    def confirm_lease(self) -> None:
        """
        Ask the database whether this coordinator still holds the lease. Call it before files are changed.

        Raises
        ------
        LeaseLostError
            If another coordinator has taken over.
        """
        lease = self._lease
        if lease is not None:
            with self._explained(), self._asker.connect() as connection:
                lease.check(connection)

    def require_lease(self) -> Lease:
        """Return the lease, without asking the database. Raises `NotCoordinatingError` outside of `coordinate`."""
        if self._lease is None:
            raise NotCoordinatingError(self.name)
        return self._lease

    def identity(self) -> str:
        """Return the unique id of this store, which was made with the database."""
        with self._reading() as connection:
            return store_id(connection)

    def close(self) -> None:
        """Close all connections. Safe to repeat."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self.name, in_use=self._lease is not None)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        lease = self.require_lease()
        with self._transaction() as connection:
            lease.check_for_write(connection)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._explained(), self._turn, write_point("transaction"), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._explained(), self._engine.begin() as connection:
            yield connection

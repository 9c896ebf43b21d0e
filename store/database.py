"""Transactions on an open database, and the right to write in them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine

from climate_ref_prefect.diagnostics.fault_points import write_point
from climate_ref_prefect.store.coordination import coordinator_lock, kept
from climate_ref_prefect.store.engine import explained, writer
from climate_ref_prefect.store.errors import NotCoordinatingError
from climate_ref_prefect.store.lease import Lease, store_id, take_lease
from climate_ref_prefect.store.location import SQLITE, location_name
from climate_ref_prefect.store.lock_file import Holder

logger = logging.getLogger(__name__)


class Database:
    """
    An open database, which one coordinator at a time may write.

    Parameters
    ----------
    engine
        From `build_engine`; disposed of by `close`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = writer(engine)
        # One question needs no transaction, and on PostgreSQL each costs two more round trips.
        is_sqlite = engine.dialect.name == SQLITE
        self._asker = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        self.name = location_name(engine.url)
        """The database's name for people, without password."""
        self._lease: Lease | None = None
        # SQLite has one writer at a time: threads queue up here, which is fair and costs less than its busy wait.
        self._turn: AbstractContextManager[object] = Lock() if engine.dialect.name == SQLITE else nullcontext()

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> Iterator[None]:
        """
        Hold the right to coordinate on this database while the context lasts: only who has it may write.

        A lock keeps others out, and the lease, an epoch in the database, is checked by each write: where the lock is
        lost and another coordinator takes over, every write here raises `LeaseLostError` and changes nothing.

        Parameters
        ----------
        holder
            Who coordinates; told to others.
        notify
            Told in a sentence when the lock was lost, and when it is held again.

        Raises
        ------
        CoordinatorBusyError
            If another coordinator holds it; it says who.
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
        """Raise `LeaseLostError` if the lease is known to be lost; asks nobody, so that it may be called often."""
        if self._lease is not None:
            self._lease.raise_if_lost()

    def confirm_lease(self) -> None:
        """
        Ask the database whether this still is the one that coordinates; to be called before files are changed.

        Raises
        ------
        LeaseLostError
            If another coordinator has taken over.
        """
        lease = self._lease
        if lease is not None:
            with self._explained(), self._asker.connect() as connection:
                lease.check(connection)

    def identity(self) -> str:
        """Return what tells this store from all others; it was made with the database."""
        with self._reading() as connection:
            return store_id(connection)

    def close(self) -> None:
        """Close all connections; safe to repeat."""
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
        lease = self._lease
        if lease is None:
            raise NotCoordinatingError(self.name)
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

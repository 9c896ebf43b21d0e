"""The lease of a coordinator: an epoch in the database, which each of its writes checks."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Table, select, text, update

from climate_ref_prefect.store.errors import LeaseLostError, StoreRefusedError
from climate_ref_prefect.store.sql.database_location import SQLITE
from climate_ref_prefect.store.sql.table_models import Lease as LeaseRow

_table: Final = LeaseRow.table()
_TAKEOVER_WAITS: Final = text("SET LOCAL lock_timeout = '30s'")


class Lease:
    """
    The right of one coordinator to write.

    Parameters
    ----------
    database
        Name for people, without password.
    epoch
        The epoch that `take_lease` gave to the coordinator.
    table
        The table that holds the lease, with the columns `epoch`, `holder` and `taken_at`.
    """

    def __init__(self, database: str, epoch: int, table: Table) -> None:
        self._database = database
        self._epoch = epoch
        self._table = table
        self._read_epoch = f"SELECT epoch FROM {table.name}"  # noqa: S608 - the name is a constant
        # On PostgreSQL a takeover waits for writes that have read the old epoch. Later writes read the new one.
        self._read_epoch_locked = f"{self._read_epoch} FOR SHARE"
        self._lost: tuple[str, str] | None = None

    def check_for_write(self, connection: Connection) -> None:
        """
        Check in a writing transaction that the lease is held. It stays held until the end of the transaction.

        Raises
        ------
        LeaseLostError
            If another coordinator has taken over; the transaction must not commit.
        """
        is_sqlite = connection.dialect.name == SQLITE
        self._check(connection, self._read_epoch if is_sqlite else self._read_epoch_locked)

    def check(self, connection: Connection) -> None:
        """Check that the lease is held. Raises as `check_for_write`, but another coordinator may take over at once."""
        self._check(connection, self._read_epoch)

    def raise_if_lost(self) -> None:
        """Raise `LeaseLostError` if it is known to be lost, without asking the database."""
        lost = self._lost
        if lost is not None:
            raise LeaseLostError(self._database, holder=lost[0], since=lost[1])

    def _check(self, connection: Connection, statement: str) -> None:
        self.raise_if_lost()
        # A statement of the driver, because this is part of every write and costs a third of a compiled statement.
        if connection.exec_driver_sql(statement).scalar() != self._epoch:
            self._lost = _successor(connection, self._table)
            self.raise_if_lost()


def take_lease(connection: Connection, database: str, holder: str, table: Table = _table) -> Lease:
    """
    Take the lease from its present holder. From then on the writes of all other coordinators are refused.

    Parameters
    ----------
    connection
        In a transaction that may write; the lease counts from its commit.
    database
        Name for people, without password.
    holder
        Who takes it, for people.
    table
        The table that holds the lease; by default that of the store.

    Raises
    ------
    StoreRefusedError
        If the table has lost its row.
    """
    if connection.dialect.name != SQLITE:
        connection.execute(_TAKEOVER_WAITS)
    connection.execute(update(table).values(epoch=table.c.epoch + 1, holder=holder, taken_at=datetime.now(UTC)))
    epoch = connection.scalar(select(table.c.epoch))
    if epoch is None:
        raise StoreRefusedError(
            f"The table `{table.name}` of {database} has lost its row: restore the database from a copy."
        )
    return Lease(database, epoch, table)


def store_id(connection: Connection) -> str:
    """Return the identity that the store was given when it was made."""
    return str(connection.scalar(select(_table.c.store_id)))


def _successor(connection: Connection, table: Table) -> tuple[str, str]:
    row = connection.execute(select(table.c.holder, table.c.taken_at)).first()
    if row is None or row.holder is None:
        return "another coordinator", "an unknown time"
    return row.holder, f"{row.taken_at:%Y-%m-%d %H:%M:%S} UTC"

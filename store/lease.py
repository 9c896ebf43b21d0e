"""The lease of a coordinator: an epoch in the database, which each of its writes checks."""

import threading
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, select, text, update

from climate_ref_prefect.store.errors import LeaseLostError, StoreRefusedError
from climate_ref_prefect.store.location import SQLITE
from climate_ref_prefect.store.models import Lease as LeaseRow

_table: Final = LeaseRow.table()
_EPOCH: Final = "SELECT epoch FROM lease"
_EPOCH_LOCKED: Final = "SELECT epoch FROM lease FOR SHARE"
"""On PostgreSQL a takeover waits for writes that have seen the epoch before it, and those after it see the new one."""
_TAKEOVER_WAITS: Final = text("SET LOCAL lock_timeout = '30s'")


class Lease:
    """
    The right of one coordinator to write.

    Parameters
    ----------
    database
        Name for people, without password.
    epoch
        The coordinator's own, as `take_lease` gave it.
    """

    def __init__(self, database: str, epoch: int) -> None:
        self._database = database
        self._epoch = epoch
        self._lost: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def check_for_write(self, connection: Connection) -> None:
        """
        See in a transaction that writes that the lease is still held; it then is until the transaction's end.

        Raises
        ------
        LeaseLostError
            If another coordinator has taken over; the transaction must not commit.
        """
        self._check(connection, _EPOCH if connection.dialect.name == SQLITE else _EPOCH_LOCKED)

    def check(self, connection: Connection) -> None:
        """Ask whether the lease is still held; raises as `check_for_write`, but a takeover may follow at once."""
        self._check(connection, _EPOCH)

    def raise_if_lost(self) -> None:
        """Raise `LeaseLostError` if it is known to be lost; asks nobody."""
        lost = self._lost
        if lost is not None:
            raise LeaseLostError(self._database, holder=lost[0], since=lost[1])

    def _check(self, connection: Connection, statement: str) -> None:
        self.raise_if_lost()
        # The driver's own statement: this is part of every write, and costs a third of what it would with a compiler.
        if connection.exec_driver_sql(statement).scalar() != self._epoch:
            self._lost = _successor(connection)
            self.raise_if_lost()


def take_lease(connection: Connection, database: str, holder: str) -> Lease:
    """
    Take the lease, whoever had it: from then on the writes of all others are refused.

    Parameters
    ----------
    connection
        In a transaction that may write; the lease counts from its commit.
    database
        Name for people, without password.
    holder
        Who takes it, for people.

    Raises
    ------
    StoreRefusedError
        If the table has lost its row.
    """
    if connection.dialect.name != SQLITE:
        connection.execute(_TAKEOVER_WAITS)
    connection.execute(update(_table).values(epoch=_table.c.epoch + 1, holder=holder, taken_at=datetime.now(UTC)))
    epoch = connection.scalar(select(_table.c.epoch))
    if epoch is None:
        raise StoreRefusedError(f"The table `lease` of {database} has lost its row: restore the database from a copy.")
    return Lease(database, epoch)


def store_id(connection: Connection) -> str:
    """Return the identity that the store was given when it was made."""
    return str(connection.scalar(select(_table.c.store_id)))


def _successor(connection: Connection) -> tuple[str, str]:
    row = connection.execute(select(_table.c.holder, _table.c.taken_at)).first()
    if row is None or row.holder is None:
        return "another coordinator", "an unknown time"
    return row.holder, f"{row.taken_at:%Y-%m-%d %H:%M:%S} UTC"

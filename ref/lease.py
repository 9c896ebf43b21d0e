"""The row of the lease in REF's database, which the first coordinator makes, and the identity of the database in it."""

from uuid import uuid4

from sqlalchemy import Connection, select

from climate_ref_prefect.ref import tables
from climate_ref_prefect.store.sql import coordinator_lease
from climate_ref_prefect.store.sql.coordinator_lease import Lease


def take_lease(connection: Connection, database: str, holder: str) -> Lease:
    """
    Take the lease of REF's database as that of a store is taken. The first coordinator makes its row.

    Parameters
    ----------
    connection
        In a transaction that may write; the tables are there.
    database
        Name for people, without password.
    holder
        Who takes it, for people.
    """
    if database_id(connection) is None:
        connection.execute(tables.lease.insert().values(database_id=uuid4().hex, epoch=0))
    return coordinator_lease.take_lease(connection, database, holder, tables.lease)


def database_id(connection: Connection) -> str | None:
    """Return the identity that the first coordinator gave to the database; None before that."""
    return connection.scalar(select(tables.lease.c.database_id))

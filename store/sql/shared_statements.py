"""Statements that several parts of the store use, the same on SQLite and PostgreSQL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Insert, Row, Table, select
from sqlalchemy.dialects import sqlite

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.store.sql.column_types import clean_text

CHUNK = 400
"""Number of values in one IN. Two such lists stay below 999, the limit of parameters in older SQLite."""

NaturalKey = tuple[Any, ...]
T = TypeVar("T")


def in_chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Split values into lists of at most `CHUNK`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows. A row that exists already, by any unique key of the table, stays unchanged."""
    if rows:
        connection.execute(_insert_where_new(connection, table), list(rows))


def _insert_where_new(connection: Connection, table: Table) -> Insert:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - its import would be a tenth of that of SQLAlchemy

        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def identify(
    connection: Connection, table: Table, key: tuple[str, ...], rows: Iterable[Mapping[str, Any]]
) -> dict[NaturalKey, int]:
    """
    Return the id of each row by its natural key, inserting those that are new.

    Parameters
    ----------
    connection
        In a transaction that may write.
    table
        With a column `id`.
    key
        Columns that are unique together.
    rows
        Rows, which may contain the same key more than once.
    """
    wanted = {tuple(row[column] for column in key): row for row in rows}
    found = find(connection, table, key, wanted)
    missing = sorted(wanted.keys() - found.keys())
    insert_new(connection, table, [wanted[one] for one in missing])
    return found | find(connection, table, key, missing)


def find(
    connection: Connection, table: Table, key: tuple[str, ...], wanted: Iterable[NaturalKey]
) -> dict[NaturalKey, int]:
    """Return the id of each row that exists, by its natural key."""
    as_kept = {tuple(clean_text(part) if isinstance(part, str) else part for part in one): one for one in wanted}
    columns = [table.c[name] for name in key]
    found: dict[NaturalKey, int] = {}
    for chunk in in_chunks(sorted(as_kept)):
        query = select(table.c.id, *columns)
        for position, column in enumerate(columns):
            # More rows may match, because each column is compared on its own. The dictionary selects the right ones.
            query = query.where(column.in_({one[position] for one in chunk}))
        for number, *parts in connection.execute(query):
            if tuple(parts) in as_kept:
                found[as_kept[tuple(parts)]] = number
    return found


def asked_columns(resources: ResourceHint) -> dict[str, Any]:
    """Return the columns that say what an execution asked for."""
    return {
        "asked_memory_mb": resources.memory_mb,
        "asked_cpu": resources.cpu,
        "asked_wall_clock_seconds": resources.wall_clock_seconds,
        "asked_queue": resources.queue,
    }


def asked_by(row: Row[Any]) -> ResourceHint:
    """Return what an execution asked for; the reverse of `asked_columns`."""
    return ResourceHint(
        memory_mb=row.asked_memory_mb,
        cpu=row.asked_cpu,
        wall_clock=row.asked_wall_clock_seconds,
        queue=row.asked_queue,
    )

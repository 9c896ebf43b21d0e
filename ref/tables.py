"""
The three tables that this package keeps in REF's database, beside REF's own.

They have no foreign keys: REF's migrations rebuild its tables on SQLite, and know nothing of these.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
)

from climate_ref_prefect.store.errors import SchemaError
from climate_ref_prefect.store.sql.column_types import BIG_ID, CleanText, UtcDateTime

SCHEMA_VERSION: Final = 1
"""Raised with every change of the tables."""

metadata: Final = MetaData()

lease: Final = Table(
    "climate_ref_prefect_lease",
    metadata,
    Column("database_id", String(32), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("holder", Text),
    Column("taken_at", UtcDateTime),
    Column("schema_version", Integer, nullable=False, default=SCHEMA_VERSION),
)
"""One row: the identity of the database, which coordinator may write, and the version of these tables."""

submissions: Final = Table(
    "climate_ref_prefect_submission",
    metadata,
    Column("execution_id", BIG_ID, primary_key=True, autoincrement=False),
)
"""REF's executions that were made for this executor and have not ended, marked in the transaction that made them."""

attempts: Final = Table(
    "climate_ref_prefect_attempt",
    metadata,
    Column("id", BIG_ID, primary_key=True),
    Column("execution_id", BIG_ID, nullable=False, index=True),
    Column("provider", CleanText, nullable=False),
    Column("diagnostic", CleanText, nullable=False),
    Column("key", CleanText, nullable=False),
    Column("group_created_at", DateTime),
    Column("input_hash", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fragment", Text, nullable=False),
    Column("output_directory", Text),
    Column("status", String(16), nullable=False),
    Column("transport", Text),
    Column("resources", JSON, nullable=False),
    Column("is_ingested", Boolean, nullable=False, default=False),
    Column("counted", Boolean),
    Column("failure_kind", String(32)),
    Column("clears_dirty", Boolean),
    Column("created_at", Float, nullable=False),
    Index("ix_climate_ref_prefect_attempt_input_hash", "input_hash"),
    Index("ix_climate_ref_prefect_attempt_status", "status"),
)
"""
Each attempt at one of REF's executions; several may share a row of REF's.

REF's SQLite gives the numbers of deleted rows again. `group_created_at`, as REF has it, tells a group from an earlier
one with the same name.
"""


def are_there(connection: Connection, database: str) -> bool:
    """
    Whether a database has these tables.

    Raises
    ------
    SchemaError
        If it has those of another version of this package.
    """
    found = inspect(connection)
    if not any(found.has_table(table.name) for table in metadata.sorted_tables):
        return False
    version = _version(connection)
    if version != SCHEMA_VERSION:
        names = ", ".join(sorted(metadata.tables))
        raise SchemaError(
            f"The tables {names} in {database} are {'of no version' if version is None else f'of version {version}'}, "
            f"and this climate-ref-prefect works with version {SCHEMA_VERSION}. Use the climate-ref-prefect that made "
            "them, or drop these tables while no solve runs: attempts are then counted from zero. REF's own tables are "
            "not concerned."
        )
    return True


def _version(connection: Connection) -> int | None:
    found = inspect(connection)
    if not found.has_table(lease.name):
        return None
    if lease.c.schema_version.name not in {column["name"] for column in found.get_columns(lease.name)}:
        return None
    return connection.scalar(select(lease.c.schema_version))

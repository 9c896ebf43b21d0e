"""Migrate a database to the schema of this version."""

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from climate_ref_prefect.store.errors import StoreRefusedError
from climate_ref_prefect.store.sql import schema_revision
from climate_ref_prefect.store.sql.database_encoding import check_encoding
from climate_ref_prefect.store.sql.database_location import SQLITE, location_name, parse_location, prepare_directory
from climate_ref_prefect.store.sql.engine import build_engine, explained, writer
from climate_ref_prefect.store.sql.schema_revision import (
    current_revision,
    refuse_foreign_tables,
    refuse_unknown,
    tables_of_our_names,
)

BASE = "base"
HEAD = "head"

_LOCK_KEY = 1_129_466_182
_one_at_a_time = Lock()
"""Alembic keeps what it works on in module globals."""


def migration_config(scripts: Path | None = None) -> Config:
    """Return Alembic's configuration; there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(scripts or schema_revision.SCRIPTS).replace("%", "%%"))
    return config


def upgrade_database(url: str) -> str:
    """
    Bring a database to the schema of this version; an empty one gets all its tables.

    Returns
    -------
    str
        The revision reached.

    Raises
    ------
    BadInputError
        If the URL or the location is invalid.
    SchemaUnknownError
        If the database was made by a newer version or by another program.
    StoreUnavailableError
        If it cannot be reached.
    """
    location = parse_location(url)
    if location.drivername == SQLITE:
        prepare_directory(Path(str(location.database)))
    with explained(location_name(location)):
        engine = build_engine(location, foreign_keys=False)
        try:
            return migrate(engine, HEAD)
        finally:
            engine.dispose()


def migrate(engine: Engine, target: str) -> str:
    """
    Migrate in one transaction; another process that does the same waits.

    Parameters
    ----------
    engine
        Without enforcement of foreign keys on SQLite.
    target
        `HEAD`, or `BASE`, which removes all tables.

    Returns
    -------
    str
        The revision reached.

    Raises
    ------
    SchemaUnknownError
        If the database was made by a newer version or by another program.
    """
    database = location_name(engine.url)
    with _one_at_a_time, writer(engine).begin() as connection:
        check_encoding(connection, database)
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = current_revision(connection)
        if found is None:
            refuse_foreign_tables(tables_of_our_names(connection), database)
        else:
            refuse_unknown(found, database)
        config = migration_config()
        config.attributes["connection"] = connection
        (command.downgrade if target == BASE else command.upgrade)(config, target)
        _check_foreign_keys(connection, database)
        return current_revision(connection) or BASE


def _check_foreign_keys(connection: Connection, database: str) -> None:
    if connection.dialect.name == SQLITE and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise StoreRefusedError(f"The migration of {database} would leave rows without what they refer to; undone.")

"""Migrate a database to the schema of this version, and detect when it has another one."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from climate_ref_prefect.store.errors import SchemaOutdatedError, SchemaUnknownError, StoreRefusedError
from climate_ref_prefect.store.sql.database_encoding import check_encoding
from climate_ref_prefect.store.sql.database_location import SQLITE, location_name, parse_location, prepare_directory
from climate_ref_prefect.store.sql.engine import build_engine, explained, writer
from climate_ref_prefect.store.sql.table_models import Base

VERSION_TABLE = "climate_ref_prefect_version"
"""Not Alembic's default name, which Prefect and Climate-REF give to tables of their own."""

BASE = "base"
HEAD = "head"

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK_KEY = 1_129_466_182
_one_at_a_time = Lock()
"""Alembic keeps what it works on in module globals."""


def migration_config(scripts: Path = _SCRIPTS) -> Config:
    """Return Alembic's configuration; there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def head_revision() -> str:
    """Return the revision that this version works with."""
    head = ScriptDirectory.from_config(migration_config(_SCRIPTS)).get_current_head()
    assert head is not None  # noqa: S101 - the package ships its revisions
    return head


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


def check_schema(connection: Connection, database: str) -> bool:
    """
    Check that a database has the schema of this version.

    Parameters
    ----------
    connection
        To the database.
    database
        Its name for people.

    Returns
    -------
    bool
        False for one that has no tables of ours yet, and so may be migrated at once.

    Raises
    ------
    SchemaOutdatedError
        If it is older. The message names the command to run.
    SchemaUnknownError
        If it is newer or another program's.
    """
    found = _current(connection)
    if found is None and _tables_of_our_names(connection):
        found = _current(connection)  # Another process may have made them meanwhile.
    if found is None:
        _refuse_foreign_tables(connection, database)
        return False
    needed = head_revision()
    if found != needed:
        _refuse_unknown(found, database)
        raise SchemaOutdatedError(database, found=found, needed=needed)
    return True


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
        found = _current(connection)
        if found is None:
            _refuse_foreign_tables(connection, database)
        else:
            _refuse_unknown(found, database)
        config = migration_config(_SCRIPTS)
        config.attributes["connection"] = connection
        (command.downgrade if target == BASE else command.upgrade)(config, target)
        _check_foreign_keys(connection, database)
        return _current(connection) or BASE


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _refuse_unknown(found: str, database: str) -> None:
    known = [script.revision for script in ScriptDirectory.from_config(migration_config(_SCRIPTS)).walk_revisions()]
    if found not in known:
        raise SchemaUnknownError(
            f"The database {database} has schema revision {found}, which this version of climate-ref-prefect does not "
            f"know: its newest is {known[0]}. A newer version made it; install that one, or use another database."
        )


def _refuse_foreign_tables(connection: Connection, database: str) -> None:
    taken = _tables_of_our_names(connection)
    if taken:
        raise SchemaUnknownError(
            f"The database {database} holds tables that another program made ({', '.join(taken)}). "
            "Give climate-ref-prefect a database of its own."
        )


def _tables_of_our_names(connection: Connection) -> Sequence[str]:
    """Return the tables that have the names of this package's tables, whichever program made them."""
    return sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))


def _check_foreign_keys(connection: Connection, database: str) -> None:
    if connection.dialect.name == SQLITE and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise StoreRefusedError(f"The migration of {database} would leave rows without what they refer to; undone.")

"""
Which schema a database has, and which one this version needs.

Every command that opens the store asks; so it does without Alembic, whose import takes as long as SQLAlchemy's.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from climate_ref_prefect.store.errors import SchemaOutdatedError, SchemaUnknownError
from climate_ref_prefect.store.sql.table_models import Base

VERSION_TABLE = "climate_ref_prefect_version"
"""Not Alembic's default name, which Prefect and Climate-REF give to tables of their own."""

SCRIPTS = Path(__file__).parent / "migrations"

_REVISION = re.compile(r"""^revision\b[^=]*=\s*["'](.+)["']$""", re.MULTILINE)
_FOLLOWS = re.compile(r"""^down_revision\b[^=]*=\s*["'](.+)["']$""", re.MULTILINE)


def revisions() -> Sequence[str]:
    """Return the revisions that this version knows, the newest first, as the scripts of the migrations name them."""
    followers: dict[str | None, str] = {}
    for script in (SCRIPTS / "versions").glob("*.py"):
        source = script.read_text(encoding="utf-8")
        if revision := _REVISION.search(source):
            follows = _FOLLOWS.search(source)
            followers[follows[1] if follows else None] = revision[1]
    known: list[str] = []
    while (following := followers.get(known[-1] if known else None)) is not None:
        known.append(following)
    return known[::-1]


def head_revision() -> str:
    """Return the revision that this version works with."""
    return revisions()[0]


def current_revision(connection: Connection) -> str | None:
    """Return the revision of a database; None for one without tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
    return found


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
    found = current_revision(connection)
    if found is None:
        taken = tables_of_our_names(connection)
        found = current_revision(connection)  # Another process may have made all of them meanwhile, in one transaction.
    if found is None:
        refuse_foreign_tables(taken, database)
        return False
    needed = head_revision()
    if found != needed:
        refuse_unknown(found, database)
        raise SchemaOutdatedError(database, found=found, needed=needed)
    return True


def refuse_unknown(found: str, database: str) -> None:
    """Raise `SchemaUnknownError` where this version does not know the revision of a database."""
    known = revisions()
    if found not in known:
        raise SchemaUnknownError(
            f"The database {database} has schema revision {found}, which this version of climate-ref-prefect does not "
            f"know: its newest is {known[0]}. A newer version made it; install that one, or use another database."
        )


def refuse_foreign_tables(taken: Sequence[str], database: str) -> None:
    """Raise `SchemaUnknownError` where tables of our names are another program's."""
    if taken:
        raise SchemaUnknownError(
            f"The database {database} holds tables that another program made ({', '.join(taken)}). "
            "Give climate-ref-prefect a database of its own."
        )


def tables_of_our_names(connection: Connection) -> Sequence[str]:
    """Return the tables that have the names of this package's tables, whichever program made them."""
    return sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))

"""Check that a database is encoded in UTF-8, because names and messages may contain any character."""

import shlex
from typing import Final

from sqlalchemy import URL, Connection, text

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.sql.database_location import SQLITE

_UTF8: Final = "UTF8"


def check_encoding(connection: Connection, database: str) -> None:
    """
    Check that a database can store text of any language. SQLite can, in all of its encodings.

    Parameters
    ----------
    connection
        Connection to the database.
    database
        Its name for people.

    Raises
    ------
    BadInputError
        If it is a PostgreSQL database that is not UTF-8. The message names the command that makes one.
    """
    if connection.dialect.name == SQLITE:
        return
    found = connection.scalar(text("SHOW server_encoding"))
    if found == _UTF8:
        return
    command = create_command(connection.engine.url)
    raise BadInputError(
        f"The database {database} has the encoding {found}, which does not keep every name; it must be "
        f"{_UTF8}. Make another one with `{command}` and name it in CLIMATE_REF_PREFECT_DATABASE_URL. "
        "`pg_dump OLD | psql NEW` copies what this one holds."
    )


def create_command(url: URL) -> str:
    """Return the command that makes a database in UTF-8 beside another one."""
    command = ["createdb", f"--encoding={_UTF8}", "--locale=C", "--template=template0"]
    for option, value in (("host", url.host), ("port", url.port), ("username", url.username)):
        command += [f"--{option}={value}"] if value else []
    return shlex.join([*command, f"{url.database}_utf8"])

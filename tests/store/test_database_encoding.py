"""Text of any language comes back as it was written; a database that could not keep it is refused when it is opened."""

import re
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.schema_migration import upgrade_database
from climate_ref_prefect.store.sql.sql_store import open_store
from tests.postgres import PostgresServer, find_programs
from tests.store.example_values import allocate, coordinated, definition, failure

KEY = "Zürich 東京 Ελλάδα \N{BUG}"


@pytest.fixture(params=["SQL_ASCII", "LATIN1", "EUC_JP", "WIN1252"])
def other_url(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database that is not UTF-8."""
    name = f"test_{uuid4().hex}"
    postgres_server.administer(f"CREATE DATABASE {name} ENCODING '{request.param}' LOCALE 'C' TEMPLATE template0")
    yield postgres_server.url(name)
    postgres_server.drop_database(postgres_server.url(name))


def test_another_encoding_is_refused_and_the_command_makes_a_right_one(
    other_url: str, postgres_server: PostgresServer
) -> None:
    for use in (open_store, upgrade_database):
        with pytest.raises(BadInputError, match=r"has the encoding \w+, .* it must be UTF8") as refused:
            use(other_url)
        assert postgres_server.password not in str(refused.value)
        assert "\n" not in str(refused.value)
    found = re.search(r"`(createdb .*?)`", str(refused.value))
    assert found is not None
    command = shlex.split(found[1])
    subprocess.run(
        [str(find_programs() / command[0]), *command[1:]],
        check=True,
        env={"PGPASSWORD": postgres_server.password},
        capture_output=True,
    )
    url = f"{other_url}_utf8"
    with coordinated(url) as store:
        allocate(store, definition(KEY))
        assert [row.key for row in store.executions()] == [KEY]
    postgres_server.drop_database(url)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP", "nonsense"])
def test_what_the_environment_says_of_the_client_does_not_count(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    with coordinated(postgres_url) as store:
        number = allocate(store, definition(KEY)).execution_id
        store.finalise(number, failure(message=KEY))
        (row,) = store.executions()
        assert (row.key, row.failure_message) == (KEY, KEY)


def test_what_the_url_says_of_the_client_does_not_count(postgres_url: str) -> None:
    with coordinated(f"{postgres_url}?client_encoding=latin1") as store:
        allocate(store, definition(KEY))
        assert [row.key for row in store.executions()] == [KEY]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
def test_sqlite_keeps_all_text_in_each_of_its_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE kept (id INTEGER)")
        connection.execute("DROP TABLE kept")
    with coordinated(sqlite_url(path)) as store:
        allocate(store, definition(KEY))
        assert [row.key for row in store.executions()] == [KEY]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA encoding").fetchall() == [(encoding,)]

"""A store of the first schema with rows in it: up and down again, on either database, nothing changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, inspect, select

from climate_ref_prefect.store.sql import schema_migration
from climate_ref_prefect.store.sql.database_location import parse_location, sqlite_url
from climate_ref_prefect.store.sql.engine import build_engine, writer
from climate_ref_prefect.store.sql.sql_store import open_store
from climate_ref_prefect.store.sql.table_models import Base, Lease
from tests.store.earlier_databases import restore_first_schema
from tests.store.example_values import coordinated

TABLES = [table for table in Base.metadata.sorted_tables if table.name != Lease.__tablename__]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Engine]:
    """An SQLite file of the first schema."""
    restore_first_schema(tmp_path / "old.db", tmp_path / "data", tmp_path / "results")
    engine = build_engine(parse_location(sqlite_url(tmp_path / "old.db")), foreign_keys=False)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, file: Engine) -> Iterator[Engine]:
    """A database of the first schema, of either kind."""
    if request.param == "sqlite":
        yield file
        return
    engine = build_engine(parse_location(request.getfixturevalue("postgres_url")))
    schema_migration.migrate(engine, "0001")
    rows = rows_of(file)
    with writer(engine).begin() as connection:
        for table in TABLES:
            connection.execute(table.insert(), rows[table.name])
    yield engine
    engine.dispose()


def rows_of(engine: Engine) -> dict[str, list[dict[str, object]]]:
    """Return all that is recorded."""
    with engine.begin() as connection:
        return {
            table.name: [
                dict(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
            ]
            for table in TABLES
        }


def test_up_and_down_keep_every_row(old: Engine) -> None:
    before = rows_of(old)
    assert len(before["execution"]) == 8
    url = old.url.render_as_string(hide_password=False)
    identities = set()
    for _ in range(2):
        assert schema_migration.upgrade_database(url) == "0002"
        with open_store(url) as store:
            identities.add(store.identity())
            assert len(store.executions()) == 8
        with coordinated(url):
            assert rows_of(old) == before
        with writer(old).begin() as connection:
            config = schema_migration.migration_config()
            config.attributes["connection"] = connection
            command.downgrade(config, "0001")
        assert rows_of(old) == before
        assert Lease.__tablename__ not in inspect(old).get_table_names()
    assert len(identities) == 2

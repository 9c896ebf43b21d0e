from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from climate_ref_prefect.store.sql.database_location import parse_location, sqlite_url
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.schema_migration import upgrade_database
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from climate_ref_prefect.store.sql.table_models import Base, Lease
from tests.postgres import PostgresServer, postgres_server
from tests.store.example_values import holder

__all__ = ["postgres_server"]


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_path_url(tmp_path: Path) -> str:
    """An SQLite file that does not exist yet."""
    return sqlite_url(tmp_path / "state" / "store.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind."""
    fixture = "sqlite_path_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(scope="session")
def shared_postgres_url(postgres_server: PostgresServer) -> str:
    """A PostgreSQL database with its tables, for the tests that only look at rows: making one takes longest."""
    url = postgres_server.create_database()
    upgrade_database(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of either kind without any rows."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_path_url")
        return
    url: str = request.getfixturevalue("shared_postgres_url")
    yield url
    engine = build_engine(parse_location(url))
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables.keys() - {Lease.__tablename__})}"))
    engine.dispose()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store of either kind, with nothing in it, on which the test coordinates."""
    with open_store(store_url) as opened, opened.coordinate(holder()):
        yield opened

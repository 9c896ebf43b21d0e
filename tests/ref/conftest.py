"""
Tests of climate-ref on this package.

climate-ref needs Python 3.12, and CI runs the tests on 3.11 as well: without climate-ref only those that need none of
it are collected.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from climate_ref_prefect.ref import upstream
from tests.flows.tmpfs_disk import Disk, small_disk
from tests.postgres import postgres_server
from tests.ref.ref_database import ref_config

if TYPE_CHECKING:
    from climate_ref_prefect.flows.server.local_server import LocalServer
    from tests.postgres import PostgresServer
    from tests.ref.home import RefHome
    from tests.ref.trial import Trial

__all__ = ["postgres_server"]  # a fixture

collect_ignore_glob = [] if find_spec("climate_ref") else ["test_ref_*.py"]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database file with REF's schema and nothing in it."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("empty-ref")
        patch.setenv("REF_CONFIGURATION", str(directory))
        config = ref_config(directory)
        upstream.Database.from_config(config, run_migrations=True, skip_backup=True).close()
    return directory / "db" / "climate_ref.db"


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> "RefHome":
    """Give a REF home with made data, which the others are copies of; nothing is solved in it."""
    from tests.ref.coastlines import write_coastlines  # noqa: PLC0415 - these two are heavy, and few tests need them
    from tests.ref.home import make_ref_home  # noqa: PLC0415

    home = make_ref_home(tmp_path_factory.mktemp("ref"))
    write_coastlines(Path(home.environment["CARTOPY_DATA_DIR"]))
    return home


@pytest.fixture
def ref_home(made_home: "RefHome", tmp_path: Path) -> "RefHome":
    """Give a REF of the test's own, whose database knows the made data and has no execution yet."""
    return made_home.copy_to(tmp_path / "ref")


@pytest.fixture
def trial(made_home: "RefHome", tmp_path: Path, prefect_server: "LocalServer") -> "Trial":
    """Give a REF whose executions do what the test tells them, and whose solves a server shows."""
    from tests.ref.trial import Trial, trial_path  # noqa: PLC0415 - as for `made_home`

    return Trial(made_home.copy_to(tmp_path / "ref", PYTHONPATH=trial_path(), **prefect_server.variables))


@pytest.fixture
def trial_on_postgresql(
    made_home: "RefHome", tmp_path: Path, prefect_server: "LocalServer", postgres_server: "PostgresServer"
) -> "Iterator[Trial]":
    """Give such a REF whose database is on PostgreSQL."""
    from tests.ref.trial import Trial, trial_path  # noqa: PLC0415 - as for `made_home`

    url = postgres_server.create_database()
    home = made_home.copy_to(tmp_path / "ref", PYTHONPATH=trial_path(), **prefect_server.variables)
    trial = Trial(home, url.replace("+psycopg", ""))  # REF takes no driver
    home.ref("db", "migrate")
    home.ref("datasets", "ingest", "--source-type", "cmip6", str(home.shared / "data" / "CMIP6"))
    yield trial
    postgres_server.drop_database(url)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a file system of its own, of 4 MiB."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk

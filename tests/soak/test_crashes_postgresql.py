"""A coordinator on PostgreSQL that is killed before and after each of its writes."""

from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.soak.crash_matrix import assert_every_crash_is_survived


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_every_crash_is_survived(tmp_path: Path, postgres_server: PostgresServer) -> None:
    assert_every_crash_is_survived(tmp_path, postgres_server.create_database)

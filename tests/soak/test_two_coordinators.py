"""Two coordinators on one PostgreSQL whose lock is lost; `python -m tests.soak.two_coordinators` runs more of it."""

from pathlib import Path

import pytest

from climate_ref_prefect.flows.cli.errors_and_exit_codes import LEASE_LOST
from tests.postgres import PostgresServer
from tests.soak.command_forks import preloaded_command
from tests.soak.two_coordinators import contend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("prefect_server")]


def test_no_two_attempts_of_a_group_are_alive_at_once_and_each_succeeds_once(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    with preloaded_command() as one, preloaded_command() as other:
        outcome = contend(tmp_path, (one, other), postgres_server.create_database(), seed=1)
    said = "".join(log.read_text(encoding="utf-8") for log in sorted(tmp_path.glob("home-*/coordinator.log")))
    assert not outcome.broken, said[-8000:]
    assert outcome.codes.get(LEASE_LOST), said[-8000:]
    assert "has had it since" in said
    assert "Traceback" not in said, said[-8000:]

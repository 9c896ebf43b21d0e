"""Coordinators on this machine that are disturbed at random; `python -m tests.soak` runs more of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.soak.campaign import disturb_local
from tests.soak.command_forks import PreloadedCommand, preloaded_command

EXECUTIONS = 60
FAULT_SECONDS = 8.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def command() -> Iterator[PreloadedCommand]:
    """Starts coordinators."""
    with preloaded_command() as started:
        yield started


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_is_brought_home(
    seed: int, tmp_path: Path, command: PreloadedCommand, postgres_server: PostgresServer
) -> None:
    outcome = disturb_local(tmp_path, command, postgres_server, seed=seed, executions=EXECUTIONS, seconds=FAULT_SECONDS)
    repeat = f"`python -m tests.soak --first-seed {seed} --seeds 1 --executions {EXECUTIONS}` repeats it"
    assert not outcome.broken, f"{repeat}\n{(tmp_path / 'coordinator.log').read_text()[-8000:]}"
    assert outcome.faults

"""Fixtures of all tests: a Prefect home of their own, executions that are ready to run, and checks for leftovers."""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from climate_ref_prefect.testing.processes import MARKER, left_behind, started_here, wait_until
from climate_ref_prefect.testing.transports.fixtures import prepare, scratch
from tests.pbs.fixtures import pbs
from tests.slurm.fixtures import slurm

if TYPE_CHECKING:
    from climate_ref_prefect.flows.server.local_server import LocalServer

# A shared machine of two cores says nothing by being slow for once.
settings.register_profile("shared", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

__all__ = ["pbs", "prepare", "scratch", "slurm"]  # fixtures

_HOME = pytest.StashKey[str]()
_END_SECONDS = 10.0


def pytest_configure(config: pytest.Config) -> None:
    """Set what must be set before Prefect is imported."""
    config.stash[_HOME] = tempfile.mkdtemp(prefix="prefect-home-")
    os.environ.update(
        {
            "PREFECT_HOME": config.stash[_HOME],
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "CLIMATE_REF_PREFECT_SERVER_LIFETIME": "PT0S",
            MARKER: uuid.uuid4().hex,
        }
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the Prefect home away."""
    shutil.rmtree(config.stash[_HOME], ignore_errors=True)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[LocalServer]":
    """Run a Prefect server that this process and those that it starts report to, one for all tests."""
    from tests.prefect_server import running_server  # noqa: PLC0415 - Prefect reads its variables when it is imported

    with running_server(tmp_path_factory.mktemp("prefect-server")) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_remains() -> Iterator[None]:
    """After each test: no process that it has started is alive."""
    before = started_here()
    yield
    try:
        wait_until(lambda: not left_behind(before), _END_SECONDS)
    except AssertionError:
        remaining = {process: process.command for process in left_behind(before)}
        for process in remaining:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        pytest.fail(f"The test left these processes behind: {remaining}")

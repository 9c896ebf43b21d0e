"""Clusters for the emulator's own tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import Process, wait_until
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import Settings

StartCluster = Callable[[Settings], PbsCluster]
QUICK = Settings(kill_delay_seconds=0.2, report_seconds=0.0)


@pytest.fixture
def start_cluster() -> Iterator[StartCluster]:
    """Start clusters of any settings, for one test."""
    with ExitStack() as stack:
        yield lambda settings: stack.enter_context(PbsCluster(settings))


@pytest.fixture
def cluster(start_cluster: StartCluster) -> PbsCluster:
    """Start a cluster of one node with two processors, and with job history."""
    return start_cluster(QUICK)


def process_noted(note: Path) -> Process:
    """Return the process whose id a job writes into a file, once it has."""
    wait_until(lambda: note.exists() and note.read_text().endswith("\n"))
    pid = int(note.read_text())
    return Process(pid, str(process_start(pid)))

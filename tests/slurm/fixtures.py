"""
A cluster for a whole test session.

Use it by importing the fixture in a `conftest.py`: `from tests.slurm.fixtures import slurm  # noqa: F401`.
"""

import os
from collections.abc import Iterator

import pytest

from tests.slurm import programs
from tests.slurm.cluster import SlurmCluster


def require_slurm() -> None:
    """Skip the test where no cluster can be started; on CI, fail it."""
    if reason := programs.why_unavailable():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """Start a cluster of two nodes, to which SLURM's commands talk until the session ends."""
    require_slurm()
    with SlurmCluster() as cluster, pytest.MonkeyPatch.context() as environment:
        for name, value in cluster.environment.items():
            environment.setenv(name, value)
        yield cluster

"""
A PBS cluster for a whole test session.

A conftest takes it with `from tests.pbs.fixtures import pbs`.
"""

import os
from collections.abc import Iterator

import pytest

from climate_ref_prefect.testing.processes import SERVICE
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import NodeSettings, Settings


@pytest.fixture(scope="session")
def pbs() -> Iterator[PbsCluster]:
    """Start a cluster of four processors whose commands are on `PATH` of the tests' own process."""
    settings = Settings(nodes=(NodeSettings("pbsvm", ncpus=4),), kill_delay_seconds=2.0)
    with PbsCluster(settings, extra_environment={SERVICE: "1"}) as cluster:
        before = {name: os.environ.get(name) for name in cluster.environment}
        os.environ.update(cluster.environment)
        try:
            yield cluster
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

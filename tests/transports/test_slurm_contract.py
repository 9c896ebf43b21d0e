"""The contract suite over a real SLURM."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract import TransportContract
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.slurm.cluster import SlurmCluster

pytestmark = pytest.mark.slow
OVER = ("COMPLETED", "CANCELLED", "FAILED", "OUT_OF_MEMORY", "TIMEOUT")
PILOT = "climate_ref_prefect.transports.batch.dask.pilot_worker"


@pytest.fixture(scope="module")
def backend(slurm: SlurmCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Return transports to the private cluster, and see that they leave no job, process or key there."""
    shared = tmp_path_factory.mktemp("shared")
    yield Backend(
        "slurm",
        lambda: open_slurm(shared, 4),
        lambda: open_slurm(shared, 1),
        Allowances(timeout_seconds=60, close_seconds=20),
    )
    wait_until(lambda: not running_with(PILOT, shared))
    assert_no_job_is_left(slurm)
    assert not list(shared.glob("comms-*"))


def assert_no_job_is_left(cluster: SlurmCluster) -> None:
    assert not [job_id for job_id, state in cluster.jobs().items() if state not in OVER]


def open_slurm(shared: Path, max_jobs: int) -> SlurmTransport:
    return SlurmTransport(
        rules=PoolLimits(max_jobs=max_jobs, idle_seconds=5, poll_seconds=1),
        sizing=Sizing(headroom_mb=512),
        shared_directory=shared,
        interface="lo",
        outcome_patience_seconds=2,
    )


class TestSlurm(TransportContract):
    """SLURM keeps the contract."""

"""The contract suite over the programs that answer like PBS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract import TransportContract
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.pbs.cluster import PbsCluster

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PILOT = "climate_ref_prefect.transports.batch.dask.pilot_worker"


@pytest.fixture(scope="module")
def backend(pbs: PbsCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Return transports to the private cluster, and see that they leave no job, process or key there."""
    shared = tmp_path_factory.mktemp("shared")
    yield Backend(
        "pbs",
        lambda: open_pbs(shared, 4),
        lambda: open_pbs(shared, 1),
        Allowances(timeout_seconds=60, close_seconds=20),
    )
    wait_until(lambda: not running_with(PILOT, shared))
    assert_no_job_is_left(pbs)
    assert not list(shared.glob("comms-*"))


def assert_no_job_is_left(cluster: PbsCluster) -> None:
    assert not [job.job_id for job in cluster.jobs() if not job.finished]


def open_pbs(shared: Path, max_jobs: int) -> PbsTransport:
    return PbsTransport(
        rules=PoolLimits(max_jobs=max_jobs, idle_seconds=5, poll_seconds=1),
        sizing=Sizing(headroom_mb=512),
        shared_directory=shared,
        prologue=(f"export PYTHONPATH={ROOT}",),  # jobs of PBS inherit nothing
        interface="lo",
        outcome_patience_seconds=2,
    )


class TestPbs(TransportContract):
    """PBS keeps the contract."""

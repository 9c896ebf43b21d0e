"""Jobs of one size take executions of every size, as many as they have room for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import Driving
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Node
from tests.slurm.cluster import SlurmCluster
from tests.transports.job_executions import PATIENT, Running, opening

pytestmark = pytest.mark.slow


@pytest.fixture
def driving(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Driving]:
    """Open a transport to the private cluster, with one job for four processors."""
    with opening(SlurmTransport, tmp_path / "shared") as open_one:
        yield open_one(rules={"max_jobs": 1}, sizing={"node": Node(cpu=4, memory_mb=4000)})


def job_of(outcome: ExecutionOutcome) -> tuple[object, object]:
    assert outcome.succeeded, outcome.failure
    meta = outcome.telemetry.transport_meta
    return meta["job_id"], meta["job_cpu"]


def test_different_sizes_share_a_job_and_what_has_no_room_waits(driving: Driving, prepare: Prepare) -> None:
    wide, small = Running(driving, prepare, cpu=2), Running(driving, prepare, memory_mb=100)
    too_wide = driving.start(*prepare("noop", cpu=2))
    too_large = driving.start(*prepare("noop", memory_mb=3400))
    fits = driving.run(*prepare("noop"))
    assert not too_wide.done()
    assert not too_large.done()
    wide.go_on()
    outcomes = [fits, wide.outcome(), too_wide.result(PATIENT.timeout_seconds)]
    assert not too_large.done()
    small.go_on()
    outcomes += [small.outcome(), too_large.result(PATIENT.timeout_seconds)]
    assert {job_of(outcome) for outcome in outcomes} == {(wide.job_id, 4)}

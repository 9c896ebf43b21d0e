"""A limit of one queue is no limit of another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Queue
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import NodeSettings, QueueSettings, Settings
from tests.transports.job_executions import PATIENT, Open, opening

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[PbsCluster]:
    """Start a site one of whose queues takes a single job of each user."""
    queues = (QueueSettings("wide"), QueueSettings("narrow", max_queued=1))
    with PbsCluster(Settings(nodes=(NodeSettings("pbsvm", ncpus=8),), queues=queues)) as site:
        for name, value in site.environment.items():
            monkeypatch.setenv(name, value)
        yield site


@pytest.fixture
def open_pbs(cluster: PbsCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the site, and see that they leave no job."""
    with opening(PbsTransport, tmp_path / "shared", prologue=(f"export PYTHONPATH={ROOT}",)) as open_one:
        yield open_one
    wait_until(lambda: all(job.finished for job in cluster.jobs()))


def test_jobs_of_another_queue_are_submitted_all_the_same(
    open_pbs: Open, prepare: Prepare, cluster: PbsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    queues = (Queue(name="wide"), Queue(name="narrow", tags=frozenset({"special"}), only_tagged=True))
    driving = open_pbs(rules={"max_jobs": 6}, sizing={"queues": queues})
    asked: list[dict[str, Any]] = [{"queue": "special"}] * 3 + [{}] * 3
    executions = [prepare("wait-to-go", **resources) for resources in asked]
    futures = [driving.start(*execution) for execution in executions]
    wait_until(lambda: [words for words in caplog.messages if "accepts no job now" in words])
    driving.wait_for(*(directory / "output" / "started" for directory, _ in executions[3:]))
    assert [job.queue for job in cluster.jobs()].count("narrow") == 1
    left = [directory for directory, _ in executions]
    while left:  # those of the narrow queue run one after another, in the order in which their threads submitted them
        directory = wait_until(lambda: next((one for one in left if (one / "output" / "started").exists()), None), 60)
        (directory / "output" / "go").touch()
        left.remove(directory)
    assert all(future.result(PATIENT.timeout_seconds).succeeded for future in futures)

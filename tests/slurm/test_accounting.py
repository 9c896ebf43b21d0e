"""With accounting, `sacct` shows what jobs did, and accounts have limits."""

from collections.abc import Iterator

import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.slurm.cluster import SlurmCluster
from tests.slurm.fixtures import require_slurm
from tests.slurm.programs import ClusterError

pytestmark = pytest.mark.slow

_STATE_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    require_slurm()
    with SlurmCluster(nodes=1, accounting=True) as started:
        yield started


def submit(cluster: SlurmCluster, command: str, *options: str) -> int:
    return int(cluster.run("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={command}"))


def test_sacct_shows_state_and_peak_memory(cluster: SlurmCluster) -> None:
    job = submit(cluster, 'python3 -c "import time; x = bytearray(200 * 2**20); time.sleep(3)"; exit 3', "--mem=400")
    wait_until(lambda: cluster.jobs()[job] == "FAILED", _STATE_SECONDS)
    command = (
        "sacct",
        "--parsable2",
        "--noheader",
        "--units=M",
        f"--jobs={job}.batch",
        "--format=State,ExitCode,MaxRSS",
    )
    state, status, peak = wait_until(lambda: _final(cluster.run(*command)))
    assert (state, status) == ("FAILED", "3:0")
    assert 200 < float(peak.removesuffix("M")) < 300


def test_an_unknown_account_is_refused(cluster: SlurmCluster) -> None:
    with pytest.raises(ClusterError, match="Invalid account or account/partition combination specified"):
        submit(cluster, "true", "--account=nobodys")


def test_more_jobs_than_a_user_may_submit_are_refused(cluster: SlurmCluster) -> None:
    jobs = [submit(cluster, "true", "--account=small", "--hold") for _ in range(2)]
    with pytest.raises(ClusterError, match="AssocMaxSubmitJobLimit"):
        submit(cluster, "true", "--account=small")
    cluster.run("scancel", *map(str, jobs))


def _final(printed: str) -> list[str] | None:
    fields = printed.strip().split("|")
    return fields if fields[0] not in {"", "RUNNING", "PENDING"} else None

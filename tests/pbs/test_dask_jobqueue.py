"""dask-jobqueue works with the emulator as with PBS."""

import os
import shutil
import sys
from pathlib import Path

import dask
import pytest
from dask_jobqueue.pbs import PBSCluster
from distributed import Client

from climate_ref_prefect.testing.processes import wait_until
from tests.pbs.cluster import PbsCluster


def test_the_session_fixture_puts_the_commands_on_path(pbs: PbsCluster) -> None:
    assert shutil.which("qsub") == str(Path(__file__).parent / "bin" / "qsub")
    assert os.environ["PBS_EMULATOR_DIRECTORY"] == str(pbs.directory)


@pytest.mark.slow
def test_a_dask_worker_runs_in_a_job_that_ends_with_its_cluster(pbs: PbsCluster, tmp_path: Path) -> None:
    before = {job.job_id for job in pbs.jobs()}
    with dask.config.set({"distributed.worker.daemon": False}), own_cluster(tmp_path) as cluster:
        cluster.scale(jobs=1)
        with Client(cluster) as client:
            job_id = client.submit(os.getenv, "PBS_JOBID").result(timeout=60)
            walltime = pbs.job(job_id).walltime_seconds
    assert walltime == 600
    assert {job.job_id for job in pbs.jobs()} - before == {job_id}
    wait_until(lambda: pbs.job(job_id).finished)
    wait_until((tmp_path / f"{job_id}.ER").exists)


def own_cluster(logs: Path) -> PBSCluster:
    return PBSCluster(
        cores=1,
        memory="400MB",
        resource_spec="select=1:ncpus=1:mem=400mb",
        walltime="00:10:00",
        queue="workq",
        interface="lo",
        python=sys.executable,
        log_directory=str(logs),
        job_extra_directives=["-r n"],
        worker_extra_args=["--no-dashboard"],
        scheduler_options={"dashboard": False, "dashboard_address": None},
    )

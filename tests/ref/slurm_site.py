"""REF on a private SLURM: the site profile that `ref.toml` names, and the jobs as SLURM shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.flows.slurm_site import write_profile
from tests.ref.home import RefHome
from tests.slurm.cluster import SlurmCluster

OPTIONS = ['transport = "mysite"']
_HEADROOM_MB = 256
_MIB = {"M": 1, "G": 1024}


@dataclass(frozen=True)
class Job:
    """One job, as `scontrol show job` has it."""

    memory_mb: int
    cpu: int
    node: str
    state: str


def write_site(home: RefHome, shared: Path, **settings: Any) -> None:
    """Write the profile `mysite` where the executor looks for it."""
    write_profile(home.configuration / "climate-ref-prefect" / "sites" / "mysite.yaml", shared, **settings)


def jobs_of(cluster: SlurmCluster, shared: Path) -> dict[str, Job]:
    """Return all jobs whose output goes to a shared directory, living and ended, by their number."""
    jobs = {}
    for line in cluster.run("scontrol", "show", "job", "--oneliner").splitlines():
        said = dict(word.partition("=")[::2] for word in line.split())
        if said.get("StdOut", "").startswith(f"{shared}/"):
            memory = said["MinMemoryNode"]
            size = int(float(memory[:-1]) * _MIB[memory[-1]])
            jobs[said["JobId"]] = Job(size, int(said["NumCPUs"]), said["NodeList"], said["JobState"])
    return jobs


def assert_ran_in_a_job_of_its_size(job: Job, recorded: Mapping[str, Any]) -> None:
    """Hold that a job is the one that REF's column says, and as large as the execution that it ran."""
    granted = recorded["granted"]
    assert (job.memory_mb, job.node) == (recorded["job_memory_mb"], recorded["node"])
    assert job.cpu == recorded["job_cpu"] == granted["cpu"]
    assert 1 <= (job.memory_mb - _HEADROOM_MB) / granted["memory_mb"] <= 1.25  # sizes of jobs are rounded up

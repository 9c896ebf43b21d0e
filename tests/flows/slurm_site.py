"""What flows on a private SLURM need: a transport to it, a site profile, and a look at what remains there."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.flows.coordinator_processes import Coordinator, command
from tests.flows.run_intervals import read_lives
from tests.flows.temporary_site import Site
from tests.slurm.cluster import SlurmCluster

PROVIDER = "tests.flows.cluster_provider:provider"
PILOT = "climate_ref_prefect.transports.batch.dask.pilot_worker"
_LIVING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED")
_GONE_SECONDS = 15.0
"""SLURM needs some for a job that it has to kill (KillWait), and notices processes that have ended late."""


def settings(shared: Path, tagged: str = "normal", **others: Any) -> dict[str, Any]:
    """
    Return the settings of a transport that tests need not wait for, as a site profile has them.

    What asks for the queue `tagged` is sent to the partition of that name; in the partition `down` no job ever starts.
    """
    queues = [{"name": "normal"}, {"name": tagged, "tags": ["tagged"], "only_tagged": True}]
    return {
        "limits": {**QUICK.model_dump(mode="json"), "memory_tolerance": None},  # the job's own limit is what it meets
        "rules": {"max_jobs": 6, "idle_seconds": 2, "poll_seconds": 1, **others.pop("rules", {})},
        "sizing": {"headroom_mb": 256, "queues": queues, **others.pop("sizing", {})},
        "shared_directory": str(shared),
        "interface": "lo",
        "outcome_patience_seconds": 2,
        **others,
    }


def transport_to(shared: Path, **others: Any) -> SlurmTransport:
    """Return a transport to the private cluster."""
    return SlurmTransport.model_validate(settings(shared, **others))


def write_profile(path: Path, shared: Path, **others: Any) -> Path:
    """Write the same as a site profile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"kind": "slurm", **settings(shared, **others)}))
    return path


def solving(site: Site, shared: Path, *diagnostics: str, **others: Any) -> AbstractContextManager[Coordinator]:
    """Start a solve in a process of its own, with a site profile of these settings."""
    profile = write_profile(shared / "profiles" / "private.yaml", shared, **others)
    names = [option for diagnostic in diagnostics for option in ("--diagnostic", diagnostic)]
    options = ["--data", str(site.data), "--provider", PROVIDER, "--transport", str(profile)]
    return command(site, "solve", *options, *names)


def jobs_in(cluster: SlurmCluster, *states: str) -> list[int]:
    """Return the jobs in any of these states."""
    return [number for number, state in cluster.jobs().items() if state in states]


def pilots(cluster: SlurmCluster) -> set[int]:
    """Return the pilots that run in jobs of a cluster."""
    in_jobs: set[int] = set().union(*(cluster.processes(node) for node in cluster.nodes))
    return in_jobs.intersection(running_with(PILOT))


def pilot_of(cluster: SlurmCluster, job: int) -> int | None:
    """Return the pilot in a job; none if it has ended, or has not begun."""
    return next((pid for pid in pilots(cluster) if f"SLURM_JOB_ID={job}".encode() in _environment_of(pid)), None)


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def assert_nothing_is_left(cluster: SlurmCluster, shared: Path) -> None:
    """Hold that within seconds no job is left, no pilot, and no key."""
    wait_until(lambda: not jobs_in(cluster, *_LIVING), _GONE_SECONDS)
    wait_until(lambda: not pilots(cluster), _GONE_SECONDS)
    assert not list(shared.glob("comms-*"))


def assert_goes_on(site: Site, shared: Path, cluster: SlurmCluster, *diagnostics: str, **others: Any) -> SolveReport:
    """Hold that the next solve completes everything, and that nothing has run twice or beside another attempt."""
    (site.notes / "go").touch()
    report = site.solve(*diagnostics, providers=[PROVIDER], transport=transport_to(shared, **others)).report
    assert report.ok, report
    assert not report.leftovers.elsewhere
    site.assert_settled()
    assert_each_ran_once(site)
    assert site.dirty() == set()
    assert_nothing_is_left(cluster, shared)
    return report


def assert_each_ran_once(site: Site) -> None:
    """Hold that each attempt ran once at most, on a claim of its own, and never beside another one of its group."""
    site.assert_nothing_ran_twice()
    assert not [life for life in read_lives(site.notes) if life.beside]
    for run in site.runs():
        claim = ExecutionDirectory(Path(run.directory)).read_claim()
        assert claim is not None
        assert not claim.is_alive_here()

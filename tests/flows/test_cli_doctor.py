"""`climate-ref-prefect doctor`: exit codes, and nothing left behind when it is interrupted."""

import signal
from pathlib import Path

import pytest
import yaml

from climate_ref_prefect.execution.worker.provider_server_client import SERVER_MODULE
from climate_ref_prefect.testing.processes import running_with, wait_until
from tests.flows.coordinator_processes import Coordinator, command, run_command
from tests.flows.temporary_site import Site
from tests.pbs.cluster import JobView, PbsCluster
from tests.slurm.cluster import SlurmCluster

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PROVIDER = ("--provider", "tests.faulty_diagnostics:provider")
FAILING = "climate_ref_prefect.testing.providers.import_error:provider"
HANGING = "climate_ref_prefect.testing.providers.import_hang:provider"
_SECONDS = 60.0


def write_profile(site: Site, kind: str, *prologue: str) -> Path:
    """Write a profile for a private cluster, and return its path."""
    settings = {
        "kind": kind,
        "shared_directory": str(site.home / "shared"),
        "host": "127.0.0.1",
        "rules": {"poll_seconds": 0.5},
        "outcome_patience_seconds": 2,
        "prologue": [f"export PYTHONPATH={ROOT}", *prologue],
    }
    path = site.notes / "site.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_all_checks_pass(site: Site, pbs: PbsCluster) -> None:
    ended = run_command("doctor", "--transport", str(write_profile(site, "pbs")), *PROVIDER)
    assert ended.code == 0, ended.output + ended.errors
    lines = ended.output.splitlines()
    assert lines[-1] == "All checks passed."
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "note"}
    assert not site.home.exists()


def test_something_is_wrong(site: Site, pbs: PbsCluster) -> None:
    ended = run_command("doctor", "--transport", str(write_profile(site, "pbs", "exit 3")), *PROVIDER)
    assert ended.code == 1
    assert ended.output.splitlines()[-1] == "1 check failed."
    assert "(Exit_status 3)), but its pilot has not started. ->" in ended.output
    assert "Traceback" not in ended.errors


def test_on_this_machine_providers_are_all_there_is(site: Site) -> None:
    ended = run_command(
        "doctor",
        "--transport",
        "local",
        *PROVIDER,
        "--provider",
        FAILING,
    )
    assert ended.code == 1
    file_systems, told, good, bad, count = ended.output.splitlines()
    assert file_systems.startswith("ok ")
    assert "nothing to check but providers" in told
    assert good.startswith("ok ")
    assert bad.startswith("wrong ")
    assert "licence server does not answer" in bad
    assert count == "1 check failed."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--transport", "nowhere"], "There is no transport 'nowhere'"),
        (["--transport", "local", "--provider", "nonesuch"], "There is no provider 'nonesuch'. Valid: "),
    ],
)
def test_bad_input_is_refused(site: Site, options: list[str], words: str) -> None:
    ended = run_command("doctor", *options)
    assert ended.code == 2
    assert words in ended.errors
    assert "Traceback" not in ended.errors


def own_jobs(cluster: PbsCluster, before: list[JobView]) -> list[JobView]:
    """Return the jobs that were submitted since."""
    known = {job.job_id for job in before}
    return [job for job in cluster.jobs() if job.job_id not in known]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_interrupted_while_it_waits_for_its_job(site: Site, pbs: PbsCluster, number: signal.Signals, code: int) -> None:
    before = pbs.jobs()
    profile = write_profile(site, "pbs", "sleep 1000")
    with command(site, "doctor", "--transport", str(profile), *PROVIDER) as doctor:
        wait_until(lambda: any(job.state == "R" for job in own_jobs(pbs, before)), _SECONDS)
        assert_ends_in_order(doctor, number, code)
    assert [job.state for job in own_jobs(pbs, before)] == ["F"]
    assert not site.home.exists()


def test_interrupted_while_it_ends_its_job(site: Site, pbs: PbsCluster) -> None:
    before = pbs.jobs()
    profile = write_profile(site, "pbs", "trap '' TERM", "sleep 1000")
    with command(site, "doctor", "--transport", str(profile), *PROVIDER, "--wait-seconds", "2") as doctor:
        wait_until(lambda: any("terminated by" in (job.comment or "") for job in own_jobs(pbs, before)), _SECONDS)
        assert_ends_in_order(doctor, signal.SIGTERM, 143)
    assert [job.state for job in own_jobs(pbs, before)] == ["F"]
    assert not site.home.exists()


def test_interrupted_while_its_pilot_imports_a_provider(site: Site, slurm: SlurmCluster) -> None:
    before = slurm.jobs()
    profile = write_profile(site, "slurm")
    with command(site, "doctor", "--transport", str(profile), "--provider", HANGING) as doctor:
        wait_until(importing, _SECONDS)
        assert_ends_in_order(doctor, signal.SIGTERM, 143)
    assert {state for job, state in slurm.jobs().items() if job not in before} <= {"CANCELLED", "COMPLETED", "FAILED"}
    wait_until(lambda: not importing())
    assert not site.home.exists()


def importing() -> set[int]:
    """Return the processes in which the provider that hangs is being imported."""
    return {*running_with(HANGING)} & {*running_with(SERVER_MODULE)}


def assert_ends_in_order(doctor: Coordinator, number: signal.Signals, code: int) -> None:
    """Hold that a signal ends it with its exit code and a line, once its job has ended."""
    assert doctor.interrupt(number) == code
    assert f"climate-ref-prefect: Ended by {number.name}." in doctor.said
    assert "Traceback" not in doctor.said

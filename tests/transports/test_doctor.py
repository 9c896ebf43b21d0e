"""The doctor on a real SLURM and on the programs that answer like PBS: healthy sites, and others."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect import __version__
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Queue, Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.doctor.check_transport import check_transport
from climate_ref_prefect.transports.doctor_finding import CheckStatus, Finding
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import QueueSettings, Settings
from tests.slurm.cluster import SlurmCluster

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PROVIDER = "tests.faulty_diagnostics:provider"
ON_THE_NODE = "Clock, Python and size of the job"
LIVING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED")
HEALTHY = (
    "are on PATH: ",
    "answers: ",
    "shared directory",
    "scratch directory",
    "has started job",
    "sees the shared directory",
    "sees the scratch directory",
    f"climate-ref-prefect {__version__} and distributed",
    "can be imported on the node",
    "clock agrees",
    f"The node is {socket.gethostname()}; Python",
    "it asked for 1 CPU and 1280 MiB",
    "TLS: the pilot has connected",
    "without a key is refused",
    "reaches the coordinator at tls://127.0.0.1:",
)
Look = Callable[..., list[Finding]]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return where shared directory and scratch will be made, and hold that nothing of them remains."""
    path = tmp_path / "root"
    yield path
    assert not path.exists(), list(path.rglob("*"))


@pytest.fixture
def on_slurm(slurm: SlurmCluster, root: Path) -> Iterator[Look]:
    """Look at the private SLURM, and hold that no job remains."""
    yield lambda *providers, **settings: look(SlurmTransport, root, providers, settings)
    assert not [job for job, state in slurm.jobs().items() if state in LIVING]


@pytest.fixture
def on_pbs(pbs: PbsCluster, root: Path) -> Iterator[Look]:
    """Look at the emulated PBS, whose jobs inherit nothing, and hold that no job remains."""
    path = f"export PYTHONPATH={ROOT}"
    yield lambda *providers, **settings: look(
        PbsTransport, root, providers, {**settings, "prologue": (path, *settings.get("prologue", ()))}
    )
    assert not [job for job in pbs.jobs() if not job.finished]


@pytest.fixture
def start_pbs(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Settings], Look]]:
    """Start an emulated PBS of other settings, to be looked at."""
    with ExitStack() as stack:

        def start(settings: Settings) -> Look:
            cluster = stack.enter_context(PbsCluster(settings))
            for name, value in cluster.environment.items():
                monkeypatch.setenv(name, value)
            return lambda *providers, **settings: look(PbsTransport, root, providers, settings)

        yield start


@pytest.fixture(params=["on_slurm", "on_pbs"])
def on_either(request: pytest.FixtureRequest) -> Look:
    found: Look = request.getfixturevalue(request.param)
    return found


def look(kind: type[BatchTransport], root: Path, providers: tuple[str, ...], settings: dict[str, Any]) -> list[Finding]:
    wait_seconds = settings.pop("wait_seconds", 60)
    usual = {
        "shared_directory": root / "shared",
        "host": "127.0.0.1",
        "rules": PoolLimits(poll_seconds=0.5),
        "outcome_patience_seconds": 2,
    }
    references = [ProviderReference(target=target) for target in providers or (PROVIDER,)]
    return list(check_transport(kind(**{**usual, **settings}), references, root / "scratch", wait_seconds))


def of(verdict: CheckStatus, findings: list[Finding]) -> list[str]:
    return [str(finding) for finding in findings if finding.verdict is verdict]


def the_wrong_one(findings: list[Finding]) -> str:
    (told,) = of(CheckStatus.WRONG, findings)
    return told


def is_skipped(what: str, findings: list[Finding]) -> bool:
    return any(what in told for told in of(CheckStatus.SKIPPED, findings))


class TestHealthySite:
    """All is looked at, in order, and well."""

    def test_slurm(self, on_slurm: Look) -> None:
        findings = on_slurm()
        assert [words in str(found) for words, found in zip(HEALTHY, findings, strict=True)] == [True] * len(HEALTHY)
        assert of(CheckStatus.OK, findings) == [str(found) for found in findings]
        assert "CPU and 1280 MiB; it asked" in str(findings[11])

    def test_pbs_whose_memory_limits_cannot_be_seen(self, on_pbs: Look) -> None:
        findings = on_pbs()
        assert [words in str(found) for words, found in zip(HEALTHY, findings, strict=True)] == [True] * len(HEALTHY)
        assert not of(CheckStatus.WRONG, findings)

    def test_what_was_there_before_stays(self, on_pbs: Look, root: Path) -> None:
        (root / "shared").mkdir(mode=0o700, parents=True)
        (root / "shared" / "theirs").touch()
        assert not of(CheckStatus.WRONG, on_pbs())
        assert [path.name for path in root.rglob("*")] == ["shared", "theirs"]
        shutil.rmtree(root)


class TestScheduler:
    """Commands, answers, refusals, waiting."""

    def test_commands_that_are_not_on_path(self, on_either: Look, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        findings = on_either()
        assert "cannot be found on PATH. -> run this where jobs are submitted" in the_wrong_one(findings)
        assert is_skipped("A job: the scheduler cannot be used", findings)
        assert is_skipped(ON_THE_NODE, findings)
        assert [told for told in of(CheckStatus.OK, findings) if "without a key is refused" in told]

    def test_a_server_that_does_not_answer(self, on_pbs: Look, pbs: PbsCluster) -> None:
        pbs.misbehave.go_down()
        try:
            findings = on_pbs()
        finally:
            pbs.misbehave.come_back()
        assert "PBS does not answer: " in the_wrong_one(findings)
        assert is_skipped("A job", findings)

    def test_a_controller_that_does_not_answer(self, on_slurm: Look, slurm: SlurmCluster) -> None:
        slurm.pause_controller()
        try:
            findings = on_slurm()
        finally:
            slurm.resume_controller()
        assert "SLURM does not answer: " in the_wrong_one(findings)
        assert "DOWN" in the_wrong_one(findings)

    @pytest.mark.parametrize(("site", "words"), [("on_slurm", "invalid partition"), ("on_pbs", "unknown queue")])
    def test_a_queue_that_does_not_exist(self, request: pytest.FixtureRequest, site: str, words: str) -> None:
        findings = request.getfixturevalue(site)(sizing=Sizing(queues=(Queue(name="nowhere"),)))
        told = the_wrong_one(findings)
        assert words in told.lower()
        assert "-> mend `sizing.queues`, `account`" in told
        assert is_skipped(ON_THE_NODE, findings)

    @pytest.mark.parametrize(("site", "directive"), [("on_slurm", "--nosuch=1"), ("on_pbs", "-Y")])
    def test_a_directive_that_is_none(self, request: pytest.FixtureRequest, site: str, directive: str) -> None:
        told = the_wrong_one(request.getfixturevalue(site)(directives=(directive,)))
        assert "-> mend `directives`, `shared_directory` of the profile." in told

    def test_a_limit_on_jobs(self, start_pbs: Callable[[Settings], Look]) -> None:
        look = start_pbs(Settings(queues=(QueueSettings("workq", max_queued=0),)))
        assert "-> wait until jobs of yours have ended." in the_wrong_one(look())

    def test_a_server_that_takes_no_job_now(self, on_pbs: Look, pbs: PbsCluster) -> None:
        pbs.misbehave.refuse_every(1)
        try:
            told = the_wrong_one(on_pbs())
        finally:
            pbs.misbehave.refuse_every(0)
        assert "PBS does not accept a job of 1c-1.2G-0.17h now: " in told

    def test_a_waiting_job_is_reported_with_the_schedulers_reason(self, on_slurm: Look) -> None:
        findings = on_slurm(sizing=Sizing(queues=(Queue(name="down"),)), wait_seconds=4)
        assert "has not started within 4 s: PENDING (PartitionDown). -> try a longer --wait" in the_wrong_one(findings)

    def test_a_job_that_can_never_start(self, on_pbs: Look) -> None:
        findings = on_pbs(sizing=Sizing(headroom_mb=100_000))
        assert "will never start: " in the_wrong_one(findings)
        assert "Can Never Run" in the_wrong_one(findings)

    def test_queues_that_are_too_small_for_anything(self, on_pbs: Look) -> None:
        findings = on_pbs(sizing=Sizing(queues=(Queue(name="workq", memory_mb=100),)))
        assert "workq allows 100 MiB" in the_wrong_one(findings)
        assert is_skipped("A job", findings)


class TestDirectories:
    """Made, written, private, and seen from the node."""

    def test_one_that_others_can_read(self, on_pbs: Look, root: Path) -> None:
        (root / "shared").mkdir(parents=True)
        (root / "shared").chmod(0o750)
        findings = on_pbs()
        shutil.rmtree(root)
        assert f"is not for you alone: keys and logs lie there. -> `chmod 700 {root / 'shared'}`" in the_wrong_one(
            findings
        )
        assert not of(CheckStatus.SKIPPED, findings)

    def test_one_that_cannot_be_made(self, on_pbs: Look, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        findings = on_pbs(shared_directory=tmp_path / "file" / "shared")
        assert "cannot be written: Not a directory. -> make it writable" in the_wrong_one(findings)
        assert is_skipped("A job", findings)
        assert is_skipped("TLS", findings)

    def test_one_with_keys_that_the_node_does_not_see(self, on_slurm: Look, root: Path) -> None:
        findings = on_slurm(prologue=(covered(root / "shared"),))
        told = the_wrong_one(findings)
        assert f"cannot read {root / 'shared'}" in told
        assert "set one that nodes see: `shared_directory` of the profile." in told
        assert "ca.pem" in told
        assert is_skipped(ON_THE_NODE, findings)

    def test_one_without_keys_that_the_node_does_not_see(self, on_slurm: Look, root: Path) -> None:
        findings = on_slurm(prologue=(covered(root / "shared"),), tls=False)
        told = the_wrong_one(findings)
        assert "does not see the shared directory" in told
        assert "has not shown there for 2 s" in told
        assert len(of(CheckStatus.OK, findings)) == len(HEALTHY) - 3

    def test_one_in_which_the_job_cannot_leave_its_output(self, on_slurm: Look) -> None:
        findings = on_slurm(directives=("--output=/nonexistent/out", "--error=/nonexistent/err"))
        assert "has left no output in" in the_wrong_one(findings)

    def test_scratch_that_the_node_does_not_see(self, on_slurm: Look, root: Path) -> None:
        told = the_wrong_one(on_slurm(prologue=(covered(root / "scratch"),)))
        assert f"does not see the scratch directory {root / 'scratch'}" in told
        assert "CLIMATE_REF_PREFECT_SCRATCH" in told


def covered(directory: Path) -> str:
    """Return the line of a prologue that runs the job where something else lies over a directory."""
    return _elsewhere("--mount", f"mount -t tmpfs none {directory} && ")


def _elsewhere(namespace: str, command: str = "") -> str:
    again = f"""unshare {namespace} bash -c '{command}exec bash "$0"' "$0" """
    return f'[ "$ELSEWHERE" ] || ELSEWHERE=1 exec {again}'


class TestNode:
    """What is installed there, and what time it is."""

    def test_a_python_that_is_not_there(self, on_either: Look) -> None:
        findings = on_either(python="/nonexistent/python")
        told = the_wrong_one(findings)
        assert "but its pilot has not started. -> see that nodes have the `python` of the profile (/nonex" in told
        assert "/nonexistent/python: No such file or directory" in told
        assert is_skipped("Whether nodes reach the coordinator", findings)

    def test_the_same_where_pbs_forgets_jobs_that_are_over(self, start_pbs: Callable[[Settings], Look]) -> None:
        told = the_wrong_one(start_pbs(Settings(history=False))(python="/nonexistent/python"))
        assert "but its pilot has not started." in told
        assert "/nonexistent/python: No such file or directory" in told

    def test_providers_that_cannot_be_imported(self, on_pbs: Look) -> None:
        findings = on_pbs(
            "climate_ref_prefect.testing.providers.import_error:provider",
            PROVIDER,
            "climate_ref_prefect.testing.providers.import_crash:provider",
        )
        failing, crashing = of(CheckStatus.WRONG, findings)
        assert "RuntimeError: the licence server does not answer. -> install what it lacks" in failing
        assert "SIGSEGV" in crashing
        assert "(asking the licence server)" in crashing
        assert len(of(CheckStatus.OK, findings)) == len(HEALTHY) - 1

    def test_another_version_and_a_clock_that_is_ahead(self, on_pbs: Look, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import time, climate_ref_prefect as package\n"
            "now = time.time\n"
            "time.time = lambda: now() + 100\n"
            "package.__version__ = '0.0.1'\n"
        )
        package, clock = of(CheckStatus.WRONG, on_pbs(prologue=(f"export PYTHONPATH={tmp_path}:$PYTHONPATH",)))
        assert f"climate-ref-prefect 0.0.1 there and {__version__} here" in package
        assert "clock is 100.0" in clock
        assert "s ahead of the coordinator's" in clock

    def test_a_pilot_that_is_killed_meanwhile(self, on_pbs: Look, tmp_path: Path) -> None:
        (tmp_path / "deadly.py").write_text("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
        findings = on_pbs("deadly:provider", PROVIDER, prologue=(f"export PYTHONPATH={tmp_path}:$PYTHONPATH",))
        told = the_wrong_one(findings)
        assert "The provider deadly:provider on the node could not be found out: KilledWorker" in told
        assert is_skipped(f"The provider {PROVIDER} on the node: the pilot does not answer any more", findings)


class TestNetwork:
    """TLS, and the way from the node to the coordinator."""

    def test_a_coordinator_that_the_node_cannot_reach(self, on_slurm: Look) -> None:
        findings = on_slurm(prologue=(_elsewhere("--net"),), death_timeout_seconds=3)
        told = the_wrong_one(findings)
        assert "has not reached the coordinator at tls://127.0.0.1:" in told
        for words in ("`interface`", "`host`", "`ports`", "| No coordinator answered"):
            assert words in told
        assert is_skipped("TLS with the pilot", findings)

    def test_a_pilot_that_does_not_connect_in_time(self, on_pbs: Look) -> None:
        told = the_wrong_one(on_pbs(prologue=("echo loading modules; sleep 100",), wait_seconds=3))
        assert "runs, but its pilot has not reached the coordinator" in told
        assert "| loading modules" in told

    def test_an_interface_that_is_not_there(self, on_pbs: Look) -> None:
        findings = on_pbs(host=None, interface="ib7")
        assert "'ib7'" in the_wrong_one(findings)
        assert is_skipped("A job", findings)

    def test_ports_that_are_taken(self, on_pbs: Look) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            told = the_wrong_one(on_pbs(ports=(port, port)))
        assert f"ports {port} to {port}" in told

    def test_without_tls_a_client_without_a_key_is_accepted_and_that_is_reported(self, on_pbs: Look) -> None:
        findings = on_pbs(tls=False)
        assert not of(CheckStatus.WRONG, findings)
        assert "can run programs as you" in of(CheckStatus.NOTE, findings)[-1]


class TestThisMachine:
    """There is nothing to check but providers."""

    def test_providers_are_imported_here(self, root: Path) -> None:
        names = (PROVIDER, "climate_ref_prefect.testing.providers.import_exit:provider")
        references = [ProviderReference(target=target) for target in names]
        told, good, bad = check_transport(LocalTransport(), references, root, 1)
        assert "nothing to check but providers" in str(told)
        assert (good.verdict, bad.verdict) == (CheckStatus.OK, CheckStatus.WRONG)
        assert "SystemExit: 4" in str(bad)

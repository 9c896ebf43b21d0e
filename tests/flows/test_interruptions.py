"""A coordinator that is interrupted at any moment: nothing keeps running, and the next solve goes on from there."""

import os
import random
import re
import signal
import time
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.lifecycle.lifecycle import Lifecycle
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.testing.processes import left_behind, started_here, wait_until
from climate_ref_prefect.transports.prefect_task_runner import TransportTaskRunner
from tests.flows.coordinator_processes import command, coordinator, run_command
from tests.flows.temporary_site import Site
from tests.prefect_server import cancel_flow_run, state_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

SLOW = "tests.flows.slow_provider:provider"
MODELS = ("ModelA", "ModelB", "ModelC")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
CODES = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}


@pytest.fixture
def site(site: Site) -> Site:
    """A site with some models."""
    site.add_models(*MODELS)
    return site


def assert_goes_on(site: Site, *diagnostics: str, provider: str = "tests.flows.providers:provider") -> None:
    """Hold that the next solve completes everything, and that nothing has run twice."""
    (site.notes / "go").touch()
    in_progress = sum(row.status != "finished" for row in site.attempts())
    report = site.solve(*diagnostics, providers=[provider]).report
    assert report.ok
    assert report.leftovers.settled == in_progress
    site.assert_settled()
    site.assert_nothing_ran_twice()
    assert site.dirty() == set()
    assert len([row for row in site.attempts() if row.successful]) == len(MODELS) * len(diagnostics)
    assert_claimed_by_who_ran(site)
    assert site.solve(*diagnostics, providers=[provider]).report.headline().startswith("All up to date")


def assert_claimed_by_who_ran(site: Site) -> None:
    """Hold that what ran had been claimed, and that no claim is held by a process that lives."""
    for run in site.runs():
        claim = ExecutionDirectory(Path(run.directory)).read_claim()
        assert claim is not None
        assert not claim.is_alive_here()


@pytest.mark.parametrize("number", SIGNALS)
class TestSignals:
    """Ctrl-C, SIGTERM and kill -9 at the moments that differ."""

    def test_while_it_starts(self, site: Site, number: signal.Signals) -> None:
        with coordinator(site, "good") as started:
            wait_until(lambda: started.process.poll() is None)
            started.interrupt(number)
        assert_goes_on(site, "good")

    @pytest.mark.parametrize("which", [1, 2], ids=["to plan", "to run"])
    def test_while_the_provider_is_imported(self, site: Site, number: signal.Signals, which: int) -> None:
        hold = site.notes / f"hold-import-{which}"
        hold.touch()
        with coordinator(site, "wide", provider=SLOW) as started:
            wait_until(lambda: imports(site) == which or started.process.poll() is not None, 60)
            assert started.interrupt(number) == CODES[number], started.said
        left = site.attempts()
        if number is signal.SIGKILL:
            assert [row.status for row in left] == ["dispatched"] * len(MODELS) * (which - 1)
        else:  # What had waited for the import may have been claimed, to say that the import was ended.
            assert {row.status for row in left} <= {"finished"}
            assert {row.fragment for row in left} == claimed(site)
        hold.unlink()
        assert_goes_on(site, "wide", provider=SLOW)

    def test_while_executions_run_and_wait(self, site: Site, number: signal.Signals) -> None:
        with coordinator(site, "waits-for-go", "good") as started:
            started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in MODELS))
            assert started.interrupt(number) == CODES[number], started.said
            assert "Traceback" not in started.said
            if number is signal.SIGINT:
                assert "Interrupted; `climate-ref-prefect solve` goes on from here." in started.said
        stopped = site.attempts("waits-for-go")
        if number is not signal.SIGKILL:
            assert {row.failure_kind for row in stopped} == {FailureKind.CANCELLED}
            assert {(row.retryable, row.counted) for row in stopped} == {(True, False)}
        assert site.dirty() >= {f"waits-for-go/{model}" for model in MODELS}
        assert_goes_on(site, "waits-for-go", "good")

    def test_while_results_are_published(self, site: Site, number: signal.Signals) -> None:
        with coordinator(site, "large") as started:
            results = site.home / "results"
            wait_until(lambda: started.process.poll() is not None or list(results.glob("*/*/*/.incoming-*")), 60)
            assert started.interrupt(number) == CODES[number], started.said
        assert_goes_on(site, "large")
        assert not list((site.home / "results").glob("*/*/*/.*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_only_waits_leaves_neither_a_row_nor_a_directory(site: Site, number: signal.Signals) -> None:
    site.add_models(*(f"Other{other:03}" for other in range(100)))
    with coordinator(site, "waits-for-go") as started:
        wait_until(lambda: started.process.poll() is not None or site.runs(), 60)
        assert started.interrupt(number) == CODES[number], started.said
    begun = claimed(site)
    assert {row.fragment for row in site.attempts()} == begun
    assert {str(path.relative_to(site.home / "scratch")) for path in site.home.glob("scratch/*/*/*/*")} == begun
    assert len(list(site.home.glob("scratch/*/*/*"))) == len(begun)
    assert {run.directory for run in site.runs()} <= {str(site.home / "scratch" / fragment) for fragment in begun}
    assert len(begun) < 50
    (site.notes / "go").touch()
    report = site.solve("waits-for-go").report
    assert (report.ok, report.succeeded) == (True, len(MODELS) + 100)
    site.assert_settled()
    site.assert_nothing_ran_twice()


def test_the_login_session_ends(site: Site) -> None:
    with coordinator(site, "waits-for-go") as started:
        started.wait_until_it_holds(site.notes / "started-ModelA")
        assert started.interrupt(signal.SIGHUP) == -signal.SIGTERM, started.said
        assert "Traceback" not in started.said
    assert {row.failure_kind for row in site.attempts()} == {FailureKind.CANCELLED}
    assert_goes_on(site, "waits-for-go")


def claimed(site: Site) -> set[str]:
    """Return the fragments of the executions that are claimed."""
    scratch = site.home / "scratch"
    return {str(path.parent.relative_to(scratch)) for path in scratch.glob("*/*/*/*/claim.json")}


def imports(site: Site) -> int:
    path = site.notes / "imports"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_again_and_again_it_ends_well(site: Site, number: signal.Signals) -> None:
    chance = random.Random(number)
    for _ in range(6):
        with coordinator(site, "good", "other", "flaky", "large") as started:
            if not started.holds_or_ends():
                assert "All up to date" in started.said
                break
            time.sleep(chance.uniform(0, 2))  # any moment: there is no condition to wait for
            code = started.interrupt(number)
            over = "Finished in state" in started.said  # between the end of its work and that of the interpreter
            assert code == CODES[number] or (over and code in (0, -number)), started.said
    assert_goes_on(site, "good", "other", "flaky", "large")


@pytest.mark.parametrize("pause_seconds", [0, 0.05, 0.2])
def test_interrupted_twice_by_the_user(site: Site, pause_seconds: float) -> None:
    with coordinator(site, "waits-for-go") as started:
        started.wait_until_it_holds(site.notes / "started-ModelA")
        os.killpg(started.pid, signal.SIGINT)
        time.sleep(pause_seconds)
        started.interrupt(signal.SIGINT)
    assert_goes_on(site, "waits-for-go")


def test_twice_before_the_transport_began_to_close(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = started_here()
    hear = Lifecycle._handle_next_event

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt_once_it_runs(lifecycle: Lifecycle) -> None:
        return interrupt() if (site.notes / "started-ModelA").exists() else hear(lifecycle)

    with monkeypatch.context() as patched:
        patched.setattr(Lifecycle, "_handle_next_event", interrupt_once_it_runs)
        patched.setattr(TransportTaskRunner, "__exit__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            site.solve("waits-for-go")
    wait_until(lambda: not left_behind(before))
    assert_goes_on(site, "waits-for-go")


class TestCancelling:
    """What a user does to stop a solve in order."""

    def test_in_the_ui(self, site: Site) -> None:
        with coordinator(site, "waits-for-go") as started:
            started.wait_until_it_holds(site.notes / "started-ModelA")
            holder = site.holder()
            assert holder is not None
            flow_run_id = UUID(holder.flow_run_id)
            cancel_flow_run(flow_run_id)
            assert started.wait() == 1
            assert "climate-ref-prefect: The flow run was cancelled." in started.said
            assert "Traceback" not in started.said
        assert state_of(flow_run_id) is StateType.CANCELLED
        assert {row.failure_kind for row in site.attempts()} == {FailureKind.CANCELLED}
        assert site.dirty() == {f"waits-for-go/{model}" for model in MODELS}
        assert_goes_on(site, "waits-for-go")

    def test_by_the_command(self, site: Site) -> None:
        with coordinator(site, "waits-for-go") as started:
            started.wait_until_it_holds(site.notes / "started-ModelA")
            told = run_command("cancel")
            assert told.code == 0
            assert f"Asked process {started.pid} to stop" in told.output
            started.wait()
        assert {row.failure_kind for row in site.attempts()} == {FailureKind.CANCELLED}
        assert_goes_on(site, "waits-for-go")
        assert "nothing to cancel" in run_command("cancel").output


class TestTwoAtOnce:
    """Two solves on one state directory: the second is refused, and nothing runs twice."""

    def test_the_second_is_refused_with_the_name_of_the_first(self, site: Site) -> None:
        with coordinator(site, "waits-for-go") as started:
            started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in MODELS))
            with pytest.raises(CoordinatorBusyError, match=rf"process {started.pid} on "):
                site.solve("waits-for-go")
            refused = run_command("solve", "--data", str(site.data), "--provider", SLOW)
            assert refused.code == 1
            assert f"process {started.pid}" in refused.errors
            assert "Traceback" not in refused.errors
            assert f"process {started.pid}" in run_command("status").output
            (site.notes / "go").touch()
            assert started.wait() == 0
        assert [row.attempt for row in site.attempts()] == [1, 1, 1]
        assert len(site.runs()) == 3
        assert_goes_on(site, "waits-for-go")


@pytest.mark.timeout(900)
def test_the_demo_goes_on_after_an_interruption(site: Site) -> None:
    with command(site, "demo") as started:
        started.wait_until_it_holds()
        wait_until(lambda: started.process.poll() is not None or succeeded(site) > 5, 60)
        assert started.interrupt(signal.SIGINT) == CODES[signal.SIGINT], started.said
    before = succeeded(site)
    ended = run_command("demo")
    assert ended.code == 0, ended.errors
    assert re.search(rf"\b0 failed, {before} up to date", ended.output)
    site.assert_settled()
    assert "All up to date" in run_command("demo").output


def succeeded(site: Site) -> int:
    return sum(bool(row.successful) for row in site.attempts())


class TestOwnServers:
    """A server of Prefect that was started for one command ends with it, however it ends."""

    @pytest.mark.parametrize("number", SIGNALS)
    def test_where_none_is_configured(self, site: Site, number: signal.Signals) -> None:
        with coordinator(site, "waits-for-go", without=["PREFECT_API_URL"]) as started:
            started.wait_until_it_holds(site.notes / "started-ModelA")
            assert started.interrupt(number) == CODES[number], started.said
        assert_goes_on(site, "waits-for-go")

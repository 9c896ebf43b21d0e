"""`replay-abandoned`: executions of a killed coordinator are settled, and nothing is started."""

import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.replay_abandoned import RecoveryReport, replay_abandoned
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.coordinator_processes import coordinator, run_command
from tests.flows.temporary_site import Site
from tests.prefect_server import state_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

MODELS = ("ModelA", "ModelB")
GIVE_UP = RetryRule(match="flows/fails-after-go", failures={FailureKind.SYSTEM_ERROR: "give up"})


def recover(**options: Any) -> RecoveryReport:
    """Run the flow, which must end well, and say so in a sentence."""
    state = replay_abandoned(**options, return_state=True)
    report = state.result()
    assert isinstance(report, RecoveryReport)
    assert (state.is_completed(), state.message) == (True, report.headline())
    return report


def kill_with_outcomes_left(site: Site, *diagnostics: str) -> None:
    """Have a coordinator die that could record nothing of what came of what it ran."""
    with coordinator(site, *diagnostics) as started:
        started.wait_until_it_holds()
        wait_until(lambda: len(site.runs()) == len(MODELS) * len(diagnostics), 60)
        with locked_database(site):
            (site.notes / "go").touch()
            wait_until(lambda: all((Path(run.directory) / "outcome.json").exists() for run in site.runs()), 60)
            started.interrupt(signal.SIGKILL)
    assert {row.status for row in site.attempts()} == {"dispatched"}


@contextmanager
def locked_database(site: Site) -> Iterator[None]:
    """Make the database unwritable."""
    with closing(sqlite3.connect(site.home / "climate-ref-prefect.db", isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.parametrize("rules", [[], [GIVE_UP]], ids=["by the settings", "by a rule"])
def test_outcomes_that_were_left_are_taken_in_and_nothing_is_run(site: Site, rules: list[RetryRule]) -> None:
    site.add_models(*MODELS)
    kill_with_outcomes_left(site, "waits-for-go", "fails-after-go")
    report = recover(retry_rules=rules)
    assert Counter((row.diagnostic, row.failure_kind) for row in report.settled) == {
        ("waits-for-go", None): len(MODELS),
        ("fails-after-go", "system_error"): len(MODELS),
    }
    assert (report.running, report.elsewhere) == ((), ())
    assert report.headline().startswith("4 settled (2 success, 2 system_error); ")
    for words in ("flows/waits-for-go/ModelA", "success", "system_error", "local"):
        assert words in report._repr_html_()
    site.assert_settled()
    assert len(site.published()) == len(MODELS)
    assert len(site.runs()) == 2 * len(MODELS)
    assert site.dirty() == (set() if rules else {f"fails-after-go/{model}" for model in MODELS})
    assert recover().headline() == "No coordinator has left anything behind."
    assert site.solve("waits-for-go").report.headline().startswith("All up to date")
    assert len(site.runs()) == 2 * len(MODELS)


def test_a_solve_that_gives_up_what_was_left_is_failed(site: Site) -> None:
    site.add_models(*MODELS)
    kill_with_outcomes_left(site, "fails-after-go")
    solved = site.solve("fails-after-go", retry_rules=[GIVE_UP])
    assert (solved.report.leftovers.given_up, solved.report.executions) == (len(MODELS), ())
    assert state_of(solved.flow_run_id) is StateType.FAILED
    assert "2 of them given up" in str(solved.report)


def test_the_command_takes_in_what_was_running_and_the_next_solve_runs_it_again(site: Site) -> None:
    site.add_models(*MODELS)
    with coordinator(site, "waits-for-go") as started:
        started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in MODELS))
        during = run_command("recover")
        assert during.code == 0, during.errors
        assert "Nothing done: Another coordinator works" in during.output
        assert f"process {started.pid} on" in during.output
        busy = recover()
        assert str(started.pid) in busy.busy
        assert not busy.settled
        assert {row.status for row in site.attempts()} == {"dispatched"}
        started.interrupt(signal.SIGKILL)
    ended = run_command("recover", "--transport", "local")
    assert ended.code == 0, ended.errors
    assert "2 settled (2 coordinator_lost)" in ended.output
    assert {row.failure_kind for row in site.attempts()} == {FailureKind.COORDINATOR_LOST}
    assert len(site.runs()) == len(MODELS)
    (site.notes / "go").touch()
    assert site.solve("waits-for-go").report.ok
    assert len(site.runs()) == 2 * len(MODELS)


def test_where_nothing_was_ever_run(site: Site) -> None:
    assert recover().headline() == "No coordinator has left anything behind."

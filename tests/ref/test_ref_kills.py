"""`kill -9` of each process of a solve: before an execution is claimed, while it runs, and once it has an outcome."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from climate_ref_prefect.flows.server.local_server import LocalServer, local_server
from climate_ref_prefect.testing.processes import Process, started_here, wait_until
from tests.ref.trial import SLOTS, SOURCES, START_SECONDS, Trial, fault, lock

pytestmark = pytest.mark.slow

SUCCESS = (True, None, False)
NO_RETRIES = {"PREFECT_CLIENT_MAX_RETRIES": "0"}
"""Prefect's client would ask a server that is gone for a minute."""


@contextmanager
def outcomes_unrecorded(trial: Trial) -> Iterator[None]:
    """Have executions that are held end while nobody can record that."""
    with closing(lock(trial.home.database)):
        trial.release()
        wait_until(lambda: trial.outcomes() >= SLOTS, START_SECONDS)
        yield


@fault("`kill -9` of `ref solve` before a worker claims an execution")
def test_a_solve_that_is_killed_before_a_claim_is_settled_by_the_next_one(trial: Trial) -> None:
    trial.home.ref("solve", returncode=-9, CLIMATE_REF_PREFECT_FAULT_POINT="before envelope.json 1")
    assert [row[0] for row in trial.rows()] == [None] * SOURCES
    trial.home.ref("solve")
    assert trial.rows() == [(False, "not_started", False)] * SOURCES + [SUCCESS] * SOURCES


@fault("`kill -9` of `ref solve` while executions run")
@fault("REF's reaper takes what has been in progress for over six hours")
def test_a_killed_solve_is_settled_by_the_next_one_and_its_rows_are_not_lost_to_the_reaper(trial: Trial) -> None:
    with trial.holding() as solve:
        solve.kill()
        solve.wait()
        trial.tell("UPDATE execution SET created_at = datetime('now', '-7 hours')")
    trial.home.ref("solve")
    rows = trial.rows()
    assert [row[1] for row in rows[:SOURCES]] == ["abandoned"] * SLOTS + ["not_started"] * (SOURCES - SLOTS)
    assert rows[SOURCES:] == [SUCCESS] * SOURCES


@fault("`kill -9` of `ref solve` once outcomes are written and not recorded")
def test_results_that_a_killed_solve_did_not_record_are_recorded_by_the_next_one(trial: Trial) -> None:
    with trial.holding() as solve:
        children = [psutil.Process(pid) for pid in trial.held()]
        with outcomes_unrecorded(trial):
            psutil.wait_procs(children, START_SECONDS)
            solve.kill()
            solve.wait()
    trial.home.ref("solve")
    assert trial.rows()[:SLOTS] == [SUCCESS] * SLOTS
    assert {row[0] for row in trial.rows()[SOURCES:]} <= {True}
    assert len(trial.values()) == SOURCES


@fault("`kill -9` of a worker before it claims an execution")
def test_a_worker_that_is_killed_before_a_claim_costs_one_attempt(trial: Trial) -> None:
    with trial.holding_import() as solve:
        (importing,) = trial.held()
        psutil.Process(importing).kill()
        assert solve.wait(START_SECONDS) == 0
    assert trial.rows() == [SUCCESS] * SOURCES
    assert max(trial.attempts()) == 2
    assert set(trial.kinds()) == {None, "killed"}


@fault("`kill -9` of a worker, or of the process of a diagnostic, while it runs")
def test_a_killed_supervisor_and_a_killed_child_cost_one_attempt(trial: Trial) -> None:
    with trial.holding() as solve:
        one, other = (psutil.Process(pid) for pid in trial.held())
        parent = one.parent()
        assert parent is not None
        parent.kill()
        other.kill()
        trial.release()
        assert solve.wait(START_SECONDS) == 0
    assert trial.rows() == [SUCCESS] * SOURCES
    assert max(trial.attempts()) == 2


@fault("`kill -9` of a worker once outcomes are written and not recorded")
def test_a_worker_that_is_killed_after_the_outcome_costs_nothing(trial: Trial) -> None:
    with trial.holding() as solve:
        servers = {psutil.Process(pid).parents()[1] for pid in trial.held()}
        with outcomes_unrecorded(trial):
            for server in servers:
                server.kill()
        assert solve.wait(START_SECONDS) == 0
    assert trial.rows() == [SUCCESS] * SOURCES
    assert trial.attempts().count(1) >= SLOTS


class GivenServer:
    """A Prefect server that somebody else has started, and kills."""

    def __init__(self, server: LocalServer, process: Process) -> None:
        self.variables = {**server.variables, **NO_RETRIES}
        self._process = process

    def kill(self) -> None:
        psutil.Process(self._process.pid).kill()
        wait_until(lambda: not self._process.alive)


@pytest.fixture
def given_server(tmp_path: Path) -> Iterator[GivenServer]:
    before = started_here()
    with local_server(tmp_path / "server") as server:
        (process,) = (one for one in started_here() - before if "prefect server start" in one.command)
        yield GivenServer(server, process)


@fault("`kill -9` of a Prefect server that was given, before a worker claims an execution")
def test_a_given_server_that_is_killed_before_a_claim_changes_nothing(trial: Trial, given_server: GivenServer) -> None:
    with trial.holding_import(**given_server.variables) as solve:
        given_server.kill()
        trial.release()
        assert_goes_on(trial, solve)


@fault("`kill -9` of a Prefect server that was given, once outcomes are written and not recorded")
def test_a_given_server_that_is_killed_after_the_outcomes_changes_nothing(
    trial: Trial, given_server: GivenServer
) -> None:
    with trial.holding(**given_server.variables) as solve:
        with outcomes_unrecorded(trial):
            given_server.kill()
        assert_goes_on(trial, solve)


@fault("`kill -9` of the Prefect server of `ref solve` itself, while executions run")
def test_a_server_of_ones_own_that_is_killed_changes_nothing(trial: Trial) -> None:
    before = started_here()
    with trial.holding(PREFECT_API_URL=None, **NO_RETRIES) as solve:
        (server,) = (one for one in started_here() - before if "prefect server start" in one.command)
        psutil.Process(server.pid).kill()
        trial.release()
        assert_goes_on(trial, solve)


def assert_goes_on(trial: Trial, solve: "subprocess.Popen[str]") -> None:
    """Hold that a solve without its server succeeds all the same, and says that it is gone without a traceback."""
    printed, _ = solve.communicate(timeout=START_SECONDS)
    assert solve.returncode == 0, printed
    assert "does not answer" in printed
    assert "Traceback" not in printed
    assert trial.rows() == [SUCCESS] * SOURCES
    assert trial.attempts() == [1] * SOURCES

"""Whatever interrupts a solve of REF, its database says what happened, and the next solve runs what is left."""

import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.ref.trial import SOURCES, START_SECONDS, Trial, fault, lock

pytestmark = pytest.mark.slow


@fault("a second `ref solve` beside a living one")
def test_a_second_solve_beside_a_living_one_undoes_its_reaping_and_ends_in_words(trial: Trial) -> None:
    with trial.holding() as solve:
        trial.tell("UPDATE execution SET created_at = datetime('now', '-7 hours')")
        printed = trial.home.ref("solve", returncode=1)
        assert f"process {solve.pid}" in " ".join(printed.split())
        assert "Traceback" not in printed
        assert [row[0] for row in trial.rows()] == [None] * SOURCES
    assert trial.rows() == [(True, None, False)] * SOURCES


@fault("Ctrl-C or SIGTERM")
@pytest.mark.parametrize(("number", "returncode"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_solve_that_is_stopped_leaves_nothing_in_progress(trial: Trial, number: int, returncode: int) -> None:
    with trial.holding() as solve:
        solve.send_signal(number)
        assert solve.wait(START_SECONDS) == returncode
        assert trial.rows() == [(False, "cancelled", True)] * SOURCES


@fault("`--timeout`")
def test_a_solve_that_takes_too_long_is_stopped(trial: Trial) -> None:
    trial.behave("hold")
    assert "`--timeout`" in trial.home.ref("solve", "--timeout", "20", returncode=1)
    rows = trial.rows()
    assert [row[0] for row in rows] == [False] * SOURCES
    assert {row[1] for row in rows} <= {"abandoned", "not_started"}
    assert all(row[2] for row in rows)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        pytest.param("--no-wait", "cancelled", marks=fault("`--no-wait`")),
        pytest.param("--no-execute", "not_started", marks=fault("`--no-execute`")),
    ],
)
def test_what_nobody_waits_for_is_run_by_the_next_solve(trial: Trial, option: str, reason: str) -> None:
    assert option in trial.home.ref("solve", option)
    assert trial.rows() == [(False, reason, True)] * SOURCES
    trial.home.ref("solve")
    assert trial.rows()[SOURCES:] == [(True, None, False)] * SOURCES


@fault("SQLite is locked while results are recorded")
def test_a_database_that_is_locked_while_results_are_recorded_is_waited_for(trial: Trial) -> None:
    with trial.holding() as solve, closing(lock(trial.home.database)) as locked:
        trial.release()
        with pytest.raises(subprocess.TimeoutExpired):
            solve.wait(30)
        locked.close()
        assert solve.wait(START_SECONDS) == 0
    assert trial.rows() == [(True, None, False)] * SOURCES
    assert trial.attempts() == [1] * SOURCES


@fault("a diagnostic raises a `ValueError`")
@fault("a diagnostic raises an `OSError`, or is killed, at each attempt")
def test_each_failure_ends_as_the_table_says_and_is_not_run_again(trial: Trial) -> None:
    behaviours = ("value-error", "os-error", "kill")
    for source, word in zip(trial.sources(), behaviours, strict=True):
        trial.behave(word, source)
    trial.home.ref("solve", returncode=1)
    ended = [(False, "diagnostic_error", False), (False, "system_error", False), (False, "system_error", False)]
    assert trial.rows() == ended
    assert trial.attempts() == [1, 3, 3]
    trial.home.ref("solve")
    assert trial.rows() == ended
    trial.home.ref("solve", "--rerun-failed", returncode=1)
    assert trial.attempts() == [1, 3, 3, 1, 3, 3]


@fault("a given Prefect server does not answer at the start")
def test_without_a_prefect_server_nothing_stays_in_progress(trial: Trial, tmp_path: Path) -> None:
    nowhere = trial.home.copy_to(tmp_path / "nowhere", PREFECT_API_URL="http://127.0.0.1:9/api")
    printed = Trial(nowhere).home.ref("solve", returncode=1)
    assert "http://127.0.0.1:9/api does not answer" in " ".join(printed.split())
    assert "Traceback" not in printed
    assert Trial(nowhere).rows() == [(False, "not_started", True)] * SOURCES

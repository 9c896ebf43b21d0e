"""What an execution, a provider, a disk or a database does wrong: REF's database says so, and nothing stays behind."""

import signal

import psutil
import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.flows.tmpfs_disk import Disk
from tests.postgres import PostgresServer
from tests.ref.trial import SLOTS, SOURCES, START_SECONDS, Trial, fault
from tests.ref.trial_conda_provider import CONDA_TRIAL, set_up_conda_trial

pytestmark = pytest.mark.slow

SUCCESS = (True, None, False)
GIVEN_UP = (False, "system_error", False)


@fault("an execution runs out of memory")
def test_what_runs_out_of_memory_is_given_more_as_long_as_there_is_more(trial: Trial) -> None:
    grows, never_fits, _ = trial.sources()
    trial.configure(memory_mb=1000)
    trial.hint(memory_mb=500)
    trial.behave("memory-once 700", grows)
    trial.behave("memory 5000", never_fits)
    trial.home.ref("solve", returncode=1)
    assert trial.rows() == [SUCCESS, GIVEN_UP, SUCCESS]
    for source in (grows, never_fits):
        assert [given["memory_mb"] for given in trial.given(source)] == [500, 1000]
    assert "(system_error): out_of_memory:" in trial.logs()


@fault("`kill -9` of `ref solve` after an execution has run out of memory")
def test_the_next_solve_gives_at_once_what_the_memory_has_grown_to(trial: Trial) -> None:
    grows = trial.sources()[0]
    trial.hint(memory_mb=500)
    trial.behave("memory 700", grows)
    with trial.home.start("solve") as solve:
        wait_until(lambda: len(trial.given(grows)) == 2 or solve.poll() is not None, START_SECONDS)
        workers = psutil.Process(solve.pid).children(recursive=True)
        solve.kill()
        _, alive = psutil.wait_procs(workers, START_SECONDS)
        assert not alive
    trial.release()
    trial.home.ref("solve")
    assert [given["memory_mb"] for given in trial.given(grows)] == [500, 1000, 1000]
    assert trial.rows()[-1] == SUCCESS


@fault("Ctrl-C or SIGTERM, and the hint is lowered")
def test_a_hint_that_is_lowered_after_an_interrupt_holds(trial: Trial) -> None:
    source = trial.sources()[0]
    trial.hint(memory_mb=1500)
    trial.behave("hold")
    with trial.home.start("solve") as solve:
        wait_until(lambda: trial.held() or solve.poll() is not None, START_SECONDS)
        solve.send_signal(signal.SIGINT)
        solve.communicate(timeout=START_SECONDS)
    trial.release()
    trial.hint(memory_mb=400)
    trial.home.ref("solve")
    assert [given["memory_mb"] for given in trial.given(source)][-1] == 400
    assert trial.rows()[-SOURCES:] == [SUCCESS] * SOURCES


@fault("an execution reaches its time limit")
def test_what_runs_out_of_time_is_given_longer_up_to_the_limit(trial: Trial) -> None:
    grows, never_ends, _ = trial.sources()
    trial.hint(wall_clock="PT6S")
    trial.behave("hold-once", grows)
    trial.behave("hold", never_ends)
    trial.home.ref("solve", returncode=1, CLIMATE_REF_PREFECT_MAX_WALL_CLOCK="PT12S")
    assert trial.rows() == [SUCCESS, GIVEN_UP, SUCCESS]
    assert len(trial.given(grows)) == len(trial.given(never_ends)) == 2
    assert "(system_error): timeout:" in trial.logs()


@fault("a command in a conda environment is killed, or fails")
def test_a_killed_command_of_a_conda_environment_is_run_again_and_one_that_fails_is_not(trial: Trial) -> None:
    set_up_conda_trial(trial.home)
    trial.configure(provider=CONDA_TRIAL)
    for source, word in zip(trial.sources(), ("killed", "killed-once", "fails"), strict=True):
        trial.behave(word, source)
    trial.home.ref("solve", returncode=1)
    assert trial.rows() == [GIVEN_UP, SUCCESS, (False, "diagnostic_error", False)]
    assert trial.attempts() == [3, 2, 1]


@fault("a worker cannot import a provider that REF has planned with")
def test_a_provider_that_workers_cannot_import_is_given_up(trial: Trial) -> None:
    trial.hold_import("broken")
    trial.home.ref("solve", returncode=1)
    assert trial.rows() == [GIVEN_UP] * SOURCES
    assert trial.attempts() == [1] * SOURCES
    assert "(system_error): provider_import:" in trial.logs()


@fault("REF cannot import a provider")
def test_a_provider_that_ref_cannot_import_leaves_nothing(trial: Trial) -> None:
    trial.configure(provider="tests.ref.no_such_provider:provider")
    assert "no_such_provider" in trial.home.ref("solve", returncode=1)
    assert trial.rows() == []


@fault("scratch fills up while an execution runs")
def test_what_fills_scratch_is_run_again_once_there_is_room(trial: Trial, disk: Disk) -> None:
    trial.configure(scratch=disk.path)
    trial.behave("fill-scratch-once", trial.sources()[0])
    with trial.home.start("solve") as solve:
        wait_until(lambda: "scratch_full" in trial.kinds() or solve.poll() is not None, START_SECONDS)
        disk.free()
        printed, _ = solve.communicate(timeout=START_SECONDS)
        assert solve.returncode == 0, printed
    assert trial.rows() == [SUCCESS] * SOURCES


@fault("scratch stays full for longer than `house_patience`")
def test_a_scratch_that_stays_full_ends_the_solve_in_words_and_gives_nothing_up(trial: Trial, disk: Disk) -> None:
    trial.configure(scratch=disk.path)
    disk.fill()
    printed = trial.home.ref("solve", returncode=1, CLIMATE_REF_PREFECT_HOUSE_PATIENCE="PT1S")
    assert "Nothing is given up" in " ".join(printed.split())
    assert "Traceback" not in printed
    disk.free()
    trial.home.ref("solve")
    assert [row[:2] for row in trial.rows()] == [(False, "not_started")] * SOURCES + [(True, None)] * SOURCES


@fault("PostgreSQL is restarted while results are recorded")
def test_a_database_on_postgresql_that_is_away_is_waited_for(
    trial_on_postgresql: Trial, postgres_server: PostgresServer
) -> None:
    trial = trial_on_postgresql
    with trial.holding() as solve:
        postgres_server.stop()
        try:
            trial.release()
            wait_until(lambda: trial.outcomes() >= SLOTS, START_SECONDS)
        finally:
            postgres_server.start()
        assert solve.wait(START_SECONDS) == 0
    assert trial.rows() == [SUCCESS] * SOURCES
    assert trial.attempts() == [1] * SOURCES
    assert len(trial.values()) == SOURCES

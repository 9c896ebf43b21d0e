"""REF's solves on a private SLURM: jobs of the right sizes, failures in REF's terms, and what interrupts a solve."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.flows.server.local_server import LocalServer
from climate_ref_prefect.ref.executor import PrefectExecutor
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.slurm_site import assert_nothing_is_left, jobs_in
from tests.ref.home import OURS, RefHome
from tests.ref.slurm_site import OPTIONS, assert_ran_in_a_job_of_its_size, jobs_of, write_site
from tests.ref.trial import SLOTS, SOURCES, START_SECONDS, TRIAL, Trial, fault, trial_path
from tests.ref.trial_provider import UNHEALTHY
from tests.ref.values import used
from tests.slurm.cluster import SlurmCluster

MEMORY_MB = 300
NODE_CPU = 4
"""An execution that asks for so many has a node for itself: of three, two run and one waits."""
MakeTrial = Callable[..., Trial]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Where keys of transports and the output of jobs go."""
    return tmp_path / "shared"


@pytest.fixture
def on_slurm(
    made_home: RefHome, tmp_path: Path, shared: Path, prefect_server: LocalServer, slurm: SlurmCluster
) -> MakeTrial:
    """Make a REF whose `ref.toml` names a profile of the private SLURM, and whose executions ask for what is given."""

    def make(hint: Mapping[str, object], *, max_attempts: int = 3, **settings: Any) -> Trial:
        variables = {
            **prefect_server.variables,
            "PYTHONPATH": trial_path(),
            "CLIMATE_REF_PREFECT_MAX_ATTEMPTS": str(max_attempts),
        }
        home = made_home.copy_to(tmp_path / "ref", **variables)
        trial = Trial(home)
        trial.hint(memory_mb=MEMORY_MB, **hint)
        write_site(home, shared, **settings)
        home.configure(OURS, OPTIONS, [TRIAL])
        return trial

    return make


@pytest.mark.parametrize(("transport", "expected"), [("mysite", False), ("local", True)])
def test_only_where_executions_run_here_does_ref_check_its_providers_here(
    ref_home: RefHome, shared: Path, monkeypatch: pytest.MonkeyPatch, transport: str, *, expected: bool
) -> None:
    for name, value in ref_home.environment.items():
        monkeypatch.setenv(name, value)
    write_site(ref_home, shared)
    executor = PrefectExecutor(transport=transport)
    assert executor.runs_on_solve_host is expected
    executor.end_early("nothing was to be run")


@pytest.mark.slow
def test_jobs_have_the_sizes_of_their_executions_which_end_as_the_table_says(
    on_slurm: MakeTrial, shared: Path, slurm: SlurmCluster
) -> None:
    trial = on_slurm({"wall_clock": "PT6S"}, max_attempts=2)
    late, hungry, _ = trial.sources()
    trial.behave("hold", late)
    trial.behave("hungry", hungry)
    (trial.home.configuration / UNHEALTHY).touch()  # here, which says nothing of the nodes
    trial.home.ref("solve", returncode=1)

    assert trial.rows() == [(False, "system_error", False), (True, None, False), (True, None, False)]
    assert trial.attempts() == [2, 2, 1]
    jobs = jobs_of(slurm, shared)
    granted = []
    for row in used(trial.home):
        ours = row.context["climate_ref_prefect"]
        assert_ran_in_a_job_of_its_size(jobs[ours["job_id"]], ours)
        assert row.memory_limit_bytes == ours["granted"]["memory_mb"] << 20
        assert row.queue_seconds is not None
        assert row.queue_seconds > 0
        granted.append((ours["granted"]["memory_mb"], ours["granted"]["wall_clock"]))
    assert granted == [(MEMORY_MB, "PT12S"), (2 * MEMORY_MB, "PT6S"), (MEMORY_MB, "PT6S")]
    assert len({job.memory_mb for job in jobs.values()}) == 2
    for group, row in enumerate(used(trial.home), start=1):
        ours = row.context["climate_ref_prefect"]
        shown = inspected(trial.home, group)
        assert f"raninjob{ours['job_id']}on{ours['node']},queuenormal" in shown
        assert f"granted1CPU,{ours['granted']['memory_mb']}MiB" in shown
    assert "failed(system_error):timeout:" in inspected(trial.home, 1)
    (total,) = [line for line in trial.home.ref("executions", "stats").splitlines() if "(total)" in line]
    assert total.split()[2:] == ["0", "1", "2", "0", "0", "3"]  # running, failed, successful, not started, dirty
    assert_nothing_is_left(slurm, shared)


def inspected(home: RefHome, group: int) -> str:
    """Return what `ref executions inspect` shows, without the blanks and lines of its panels."""
    return "".join(home.ref("executions", "inspect", str(group)).replace("│", "").split())


@pytest.mark.slow
@fault("`kill -9` of `ref solve` while its batch jobs run or wait")
def test_what_ran_on_when_its_solve_was_killed_is_recorded_by_the_next_one_and_what_waited_is_run(
    on_slurm: MakeTrial, shared: Path, slurm: SlurmCluster
) -> None:
    trial = on_slurm({"cpu": NODE_CPU}, death_timeout_seconds=3)
    with trial.holding() as killed:
        (waiting,) = wait_until(lambda: jobs_in(slurm, "PENDING"), START_SECONDS)
        killed.kill()
        killed.wait()
        with trial.home.start("solve") as solve:
            try:
                # The next one withdraws what waits, leaves alone what runs, and has a job of its own wait behind that.
                wait_until(lambda: jobs_in(slurm, "PENDING") not in ([], [waiting]), START_SECONDS)
                assert [row[0] for row in trial.rows()[:SLOTS]] == [None] * SLOTS
            finally:
                trial.release()
                printed, _ = solve.communicate(timeout=START_SECONDS)
    assert solve.returncode == 0, printed
    assert sorted(trial.rows()[:SOURCES], key=str) == [(False, "not_started", False), *[(True, None, False)] * SLOTS]
    assert trial.rows()[SOURCES:] == [(True, None, False)] * (SOURCES - SLOTS)
    assert Counter(source for source, _ in trial.runs()) == dict.fromkeys(trial.sources(), 1)
    assert len(trial.values()) == SOURCES
    assert jobs_of(slurm, shared)[str(waiting)].state == "CANCELLED"
    assert_nothing_is_left(slurm, shared)


@pytest.mark.slow
@fault("somebody cancels a batch job")
def test_a_job_that_somebody_cancels_is_submitted_again_and_nodes_need_no_variable_of_ref(
    on_slurm: MakeTrial, shared: Path, slurm: SlurmCluster
) -> None:
    trial = on_slurm({"cpu": NODE_CPU}, prologue=["unset REF_CONFIGURATION"])
    with trial.holding() as solve:
        cancelled, job = trial.runs()[0]
        slurm.run("scancel", job)
        wait_until(lambda: len(trial.runs()) > SLOTS or solve.poll() is not None, START_SECONDS)
        trial.release()
        assert solve.wait(START_SECONDS) == 0, solve.communicate()[0]
    assert trial.rows() == [(True, None, False)] * SOURCES
    assert sorted(trial.attempts()) == [1] * (SOURCES - 1) + [2]
    runs = trial.runs()
    assert Counter(source for source, _ in runs) == {source: 1 + (source == cancelled) for source in trial.sources()}
    assert len({number for source, number in runs if source == cancelled}) == 2
    assert_nothing_is_left(slurm, shared)

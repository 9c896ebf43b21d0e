"""Deployments on a real server, run by a real worker."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import descendants
from climate_ref_prefect.flows.solve import run_diagnostic, solve
from climate_ref_prefect.store.port import ExecutionStatus
from climate_ref_prefect.store.sql.sql_store import open_store
from climate_ref_prefect.testing.processes import wait_until
from tests.deployments.work import MODELS, POOL, Work, notes_of, results, wait_for_end
from tests.prefect_server import cancel_flow_run, task_runs

pytestmark = pytest.mark.slow
HOME = "CLIMATE_REF_PREFECT_HOME"
STARTED_SECONDS = 60.0
SCHEDULED_SECONDS = 90.0
"""The server's scheduler looks at new deployments every few seconds, and at all of them once a minute."""


def deployed(name: str) -> DeploymentResponse:
    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(name)


DEPLOYMENTS = (
    "solve/solve",
    "solve/solve-nightly",
    "run-diagnostic/run-diagnostic",
    "replay-abandoned/replay-abandoned",
    "reingest/reingest",
    "ref-solve/ref-solve",
    "ref-plan/ref-plan",
    "ref-recover/ref-recover",
)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_runs_of_a_deployment_start_in_the_checkout(work: Work, name: str) -> None:
    deployment = deployed(name)
    assert deployment.work_pool_name == POOL
    assert deployment.enforce_parameter_schema
    assert deployment.pull_steps == [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(work.checkout.resolve())}}
    ]


def test_the_nightly_solve_is_scheduled_at_two(work: Work) -> None:
    nightly = DeploymentFilter(name=DeploymentFilterName(any_=["solve-nightly"]))

    def runs() -> list[FlowRun]:
        with get_client(sync_client=True) as client:
            return client.read_flow_runs(deployment_filter=nightly)

    times = [run.expected_start_time for run in wait_until(runs, SCHEDULED_SECONDS)]
    assert {time.strftime("%H:%M %Z") for time in times if time} == {"02:00 UTC"}


def test_a_solve_by_a_worker_gives_what_it_gives_in_python(
    work: Work, finished: FlowRun, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finished.state_type is StateType.COMPLETED
    monkeypatch.setenv(HOME, str(tmp_path))
    assert solve(str(tree), ["demo"], ["annual-cycle"]).ok
    by_worker, here = results(work.home, "annual-cycle"), results(tmp_path, "annual-cycle")
    assert len(here) == len(MODELS)
    assert by_worker == here


def test_run_diagnostic_by_a_worker_gives_what_it_gives_in_python(
    work: Work, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "CanESM5.historical.r1i1p1f1.Amon.ta.gn"
    run = work.run("run-diagnostic/run-diagnostic", "diagnostic=linear-trend", f"key={key}", f"data={tree}")
    assert run.state_type is StateType.COMPLETED
    monkeypatch.setenv(HOME, str(tmp_path))
    assert run_diagnostic("linear-trend", key, data=str(tree)).ok
    by_worker, here = results(work.home, "linear-trend"), results(tmp_path, "linear-trend")
    assert list(here) == [f"demo/linear-trend/{key}"]
    assert by_worker == here


def test_recovery_and_reingestion_by_a_worker_say_what_they_did(work: Work, finished: FlowRun) -> None:
    recovered = work.run("replay-abandoned/replay-abandoned", 'retry_rules=[{"match": "demo/*", "max_lost": 9}]')
    assert (recovered.state_type, recovered.state and recovered.state.message) == (
        StateType.COMPLETED,
        "No coordinator has left anything behind.",
    )
    again = work.run("reingest/reingest", "failed_only=false", 'diagnostics=["annual-cycle"]')
    assert again.state is not None
    assert again.state.message is not None
    assert again.state.message.startswith(f"{len(MODELS)} unchanged; ")


def test_every_task_run_is_on_the_server_and_completed(finished: FlowRun) -> None:
    runs = task_runs(finished.id)
    phases = ("dispatch", "run", "classify", "publish", "ingest", "finalise")
    assert len(runs) == 1 + len(phases) * len(MODELS)
    assert {run.state_type for run in runs} == {StateType.COMPLETED}


def test_nothing_remains_of_a_run(work: Work, finished: FlowRun) -> None:
    wait_until(lambda: not descendants(work.worker_pid))


def test_a_run_that_is_cancelled_in_the_ui_ends_as_cancelled_and_never_as_crashed(work: Work, tree: Path) -> None:
    waits = ('providers=["tests.flows.providers:provider"]', 'diagnostics=["waits-for-go"]')
    run = work.start("solve/solve", f"data={tree}", *waits)
    wait_until(lambda: any(notes_of(work.home).glob("started-*")), STARTED_SECONDS)
    cancel_flow_run(run)
    assert wait_for_end(run).state_type is StateType.CANCELLED
    wait_until(lambda: not descendants(work.worker_pid))
    with get_client(sync_client=True) as client:
        names = [state.name for state in client.read_flow_run_states(run)]
    assert names[-1] == "Cancelled"
    assert "Crashed" not in names
    with open_store(f"sqlite:///{work.home / 'climate-ref-prefect.db'}") as store:
        left = [row for row in store.executions() if row.diagnostic == "waits-for-go"]
    assert {(row.status, row.failure_kind) for row in left} == {(ExecutionStatus.FINISHED, FailureKind.CANCELLED)}


def test_a_run_in_which_something_was_given_up_is_failed(work: Work, tree: Path) -> None:
    run = work.run(
        "solve/solve",
        f"data={tree}",
        'providers=["tests.flows.providers:provider"]',
        'diagnostics=["own-error", "good"]',
    )
    assert run.state is not None
    assert (run.state.type, run.state.name) == (StateType.FAILED, "Failed")
    assert str(run.state.message).startswith(f"{len(MODELS)} succeeded, {len(MODELS)} failed, ")


def test_parameters_are_checked_before_a_run_is_made(work: Work) -> None:
    with pytest.raises(AssertionError, match="Validation failed for field 'transport'"):
        work.run("solve/solve", 'transport={"kind": "nowhere"}')
    with pytest.raises(AssertionError, match="Validation failed for field 'retry_rules"):
        work.run("solve/solve", 'retry_rules=[{"match": "demo/*", "tries": 9}]')

"""The flows of climate-ref, as a notebook calls them and as a worker does."""

import json
import os
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.ref.flows import ref_plan, ref_recover, ref_solve
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.prefect_server import task_runs
from tests.ref.trial import SLOTS, SOURCES, Trial

pytestmark = pytest.mark.slow

PLACE = LocalTransport(cpu=SLOTS, memory_mb=20_000)
PHASES = 6
"""Task runs of an execution, without the allocation that executions share."""


@pytest.fixture
def here(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Give a trial whose REF is that of this process."""
    for name, value in trial.home.environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return trial


def flow_run(name: str) -> FlowRun:
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return run


def artifacts(flow_run_id: UUID) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        return {str(one.key): str(one.data) for one in client.read_artifacts(artifact_filter=chosen)}


def test_a_solve_is_one_flow_run_with_its_tables_its_log_and_its_task_runs(here: Trial) -> None:
    planned = ref_plan(limit=2, transport=PLACE)
    assert (planned.rows[0].executions, planned.transport) == (2, "local")
    report = ref_solve.with_options(flow_run_name="first solve")(limit=2, transport=PLACE)
    assert report.ok
    assert report.headline().startswith("2 succeeded, 0 failed; ")
    assert {row.asked for row in report.executions} == {planned.rows[0].hint.resources}
    assert all((row.duration_seconds or 0) > 0 for row in report.executions)
    assert here.rows() == [(True, None, False)] * 2
    run = flow_run("first solve")
    assert len(task_runs(run.id)) == 1 + 2 * PHASES
    made = artifacts(run.id)
    assert made.keys() == {"solve-progress", "solve-results", "solve-summary", "solve-executions"}
    assert [line["outcome"] for line in json.loads(made["solve-executions"])] == ["success"] * 2
    assert report.results_directory == str(here.home.configuration / "results")


def test_filters_choose_and_what_is_left_is_run_by_the_next_solve(here: Trial) -> None:
    first, *_ = here.sources()
    assert [row.label.split("_")[-1] for row in ref_solve(dataset_filters=[f"source_id={first}"]).executions] == [first]
    assert ref_plan(dataset_filters=[f"source_id={first}"]).rows == ()
    assert ref_solve(one_per_provider=True).succeeded == 1
    assert ref_solve(exclude_diagnostics=["trial/trial_v1.0"]).headline().startswith("Nothing is due")
    assert ref_solve().succeeded == SOURCES - 2
    assert here.rows() == [(True, None, False)] * SOURCES
    with pytest.raises(BadInputError, match=r"No provider of REF matches tryal\. It has trial"):
        ref_solve(["tryal"])


def test_a_failure_is_shown_with_its_reason_and_run_again_when_asked_for(here: Trial) -> None:
    first, *_ = here.sources()
    here.behave("value-error", first)
    report = ref_solve()
    assert not report.ok
    (failed,) = report.failed
    assert failed.failure_kind is FailureKind.DIAGNOSTIC_ERROR
    assert "nothing can be computed" in (failed.failure_message or "")
    assert any("ref executions inspect" in line for line in report.remarks())
    assert ref_solve().executions == ()
    assert len(ref_solve(rerun_failed=True).failed) == 1


def test_retry_rules_come_with_the_flow_or_with_ref_toml(here: Trial) -> None:
    first, second, _ = here.sources()
    here.behave("os-error", first)
    rules = [RetryRule(match="trial/*", name="once", max_attempts=1)]
    report = ref_solve(dataset_filters=[f"source_id={first}"], retry_rules=rules)
    assert (here.attempts(), set(report.retry_rules.values())) == ([1], {"once"})
    here.behave("os-error", second)
    here.configure('retry_rules = [{match = "trial/*", max_attempts = 2}]')
    here.home.ref("solve", returncode=1)
    assert here.attempts() == [1, 2, 1]


def test_a_solve_that_takes_too_long_releases_the_database(here: Trial) -> None:
    here.behave("hold")
    with pytest.raises(TimeoutError):
        ref_solve(timeout_seconds=15, transport=PLACE)
    assert {row[0] for row in here.rows()} == {False}
    here.release()
    assert ref_solve(transport=PLACE).succeeded == SOURCES


def test_recovery_does_nothing_beside_a_living_solve_and_settles_what_a_killed_one_has_left(here: Trial) -> None:
    with here.holding() as solve:
        busy = ref_recover.with_options(flow_run_name="beside")()
        assert f"process {solve.pid}" in busy.busy
        assert [row[0] for row in here.rows()] == [None] * SOURCES
        solve.kill()
        solve.wait()
        report = ref_recover.with_options(flow_run_name="after")(PLACE)
    assert (len(report.settled), report.not_started, report.running) == (SOURCES, 0, ())
    assert {row.failure_kind for row in report.settled} == {FailureKind.COORDINATOR_LOST}
    assert [row[0] for row in here.rows()] == [False] * SOURCES
    assert "ref-recovery" in artifacts(flow_run("after").id)
    beside = flow_run("beside").state
    assert beside is not None
    assert (beside.message or "").startswith("Nothing done: Another coordinator works on")
    assert ref_recover().headline() == "No coordinator has left anything behind."

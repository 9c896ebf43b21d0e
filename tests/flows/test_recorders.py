"""Planned executions run on any recorder: the one in memory, and a third-party one."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from prefect import flow
from prefect.runtime import flow_run
from pydantic import JsonValue

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.lifecycle.phases import PHASES
from climate_ref_prefect.flows.lifecycle.recover_unfinished import settle_leftovers
from climate_ref_prefect.flows.planning.load_providers import load_providers
from climate_ref_prefect.flows.planning.make_plan import make_plan
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.report.solve_report import read_rows
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies
from climate_ref_prefect.flows.run_planned import PlannedRun, run_planned
from climate_ref_prefect.flows.server.local_server import LocalServer, configured_or_local_server
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_recorder_workspace
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.port import Allocation, Recorder
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.testing.recorders.example_values import (
    HINT,
    SCALARS,
    definition,
    failure,
    holder,
    leave_results,
    result,
)
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport
from tests.flows.file_provider import FAILS_ONCE, UNLISTED
from tests.flows.file_recorder import FileRecorder
from tests.flows.temporary_site import PROVIDER, Site
from tests.prefect_server import task_runs

pytestmark = pytest.mark.usefixtures("prefect_server")

SMALL = ResourceHint(memory_mb=200, cpu=1, wall_clock=timedelta(minutes=1))
PAYLOAD: dict[str, JsonValue] = {"output.json": "not a bundle of this package", "below/series.json": "nor is this"}
TRANSPORTS: list[Transport] = [InlineTransport(limits=QUICK), LocalTransport(cpu=2, limits=QUICK)]


def run(
    recorder: Recorder, root: Path, planned: Sequence[PlannedExecution], transport: Transport | None = None
) -> PlannedRun:
    """Run planned executions in a flow run of their own, with directories that no setting of the environment names."""

    @flow(name="somebody-elses")
    def somebody_elses() -> PlannedRun:
        with open_recorder_workspace(recorder, settings_below(root)) as workspace:
            return run_planned(workspace, transport or LocalTransport(cpu=2, limits=QUICK), planned)

    return somebody_elses()


def settings_below(root: Path) -> Settings:
    return Settings(home=root / "home", scratch=root / "elsewhere", house_patience=timedelta(0))


def settle(recorder: Recorder, root: Path) -> Leftovers:
    """Settle in a flow run of its own what a coordinator has left."""

    @flow
    def settles() -> Leftovers:
        with open_recorder_workspace(recorder, settings_below(root)) as workspace:
            return settle_leftovers(workspace, InlineTransport(limits=QUICK))

    return settles()


def planned_with(payload: JsonValue, key: str = "one") -> PlannedExecution:
    """Return an execution on a payload alone."""
    definition = ExecutionDefinition(
        provider="files",
        provider_version="1",
        diagnostic="any_thing.2",
        diagnostic_version="1",
        key=key,
        selectors={},
        payload=payload,
    )
    reference = ProviderReference(target="tests.flows.file_provider:provider")
    return PlannedExecution(definition=definition, provider=reference, resources=SMALL)


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_somebody_elses_recorder_takes_results_of_a_format_of_their_own(
    site: Site, tmp_path: Path, transport: Transport
) -> None:
    recorder = FileRecorder(tmp_path / "kept-elsewhere")
    ran = run(recorder, tmp_path, [planned_with(PAYLOAD)], transport)
    assert (ran.succeeded, ran.failed, ran.execution_ids) == (1, 0, (1,))
    finished = recorder.finished[1]
    assert not finished.outcome.has_bundles
    assert [record.path for record in finished.outcome.manifest] == sorted(PAYLOAD)
    assert finished.output == recorder.root / "output" / finished.envelope.fragment
    assert finished.directory == tmp_path / "elsewhere" / finished.envelope.fragment
    assert finished.envelope.fragment.startswith("files/any_thing.2/one/")
    assert not (finished.directory / "output").exists()
    for name, text in PAYLOAD.items():
        assert (recorder.root / "kept" / "1" / name).read_text() == str(text)
    assert not (recorder.root / "kept" / "1" / UNLISTED).exists()
    assert (finished.output / UNLISTED).exists()
    assert not recorder.unfinished()


def test_results_of_a_format_of_their_own_are_refused_where_bundles_are_recorded(site: Site, tmp_path: Path) -> None:
    recorder = MemoryRecorder()
    ran = run(recorder, tmp_path, [planned_with(PAYLOAD)])
    assert (ran.succeeded, ran.failed) == (0, 1)
    (row,) = recorder.executions()
    assert (row.failure_kind, row.retryable) == (FailureKind.INVALID_RESULT, False)
    assert "a format of its provider's own" in str(row.failure_message)


@pytest.mark.parametrize(("name", "text"), [("missing.txt", None), ("../outside.txt", "is there")])
def test_a_file_that_is_not_in_the_output_is_refused(site: Site, tmp_path: Path, name: str, text: str | None) -> None:
    recorder = FileRecorder(tmp_path / "kept-elsewhere")
    ran = run(recorder, tmp_path, [planned_with({"a.txt": "", name: text})], InlineTransport(limits=QUICK))
    assert (ran.succeeded, ran.failed) == (0, 1)
    (row,) = recorder.memory.executions()
    assert row.failure_kind is FailureKind.INVALID_RESULT


def test_the_recorder_in_memory_records_a_plan_and_its_results(site: Site, tmp_path: Path) -> None:
    site.add_models("ModelA")
    recorder, transport = MemoryRecorder(), LocalTransport(cpu=2, limits=QUICK)

    def planned() -> Sequence[PlannedExecution]:
        with load_providers([PROVIDER], 60) as (loaded, broken):
            diagnostics = ["good", "flaky", "own-error", "unlisted"]
            plan = make_plan(
                loaded, broken, scan(site.data), recorder, transport, policies=RetryPolicies(), diagnostics=diagnostics
            )
        return plan.executions

    ran = run(recorder, tmp_path, planned(), transport)
    assert (ran.succeeded, ran.failed, len(ran.execution_ids)) == (2, 2, 5)
    rows = {row.diagnostic: row for row in read_rows(recorder, ran.execution_ids)}
    assert rows["good"].successful
    assert (rows["flaky"].successful, rows["flaky"].attempt) == (True, 2)
    assert rows["own-error"].failure_kind is FailureKind.DIAGNOSTIC_ERROR
    assert rows["unlisted"].failure_kind is FailureKind.VOCABULARY_MISMATCH
    assert len(recorder.scalars([rows["good"].execution_id])) == 2
    assert (tmp_path / "elsewhere" / rows["good"].fragment / "output" / "values.txt").exists()  # there is no other copy
    assert not planned()


def test_all_attempts_may_have_one_row(site: Site, tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path / "kept-elsewhere", one_row=True)
    ran = run(recorder, tmp_path, [planned_with({FAILS_ONCE: str(tmp_path / "it-has-failed")})])
    assert (ran.succeeded, ran.failed, ran.execution_ids) == (1, 0, (1, 1))
    (row,) = recorder.memory.executions()
    assert row.successful
    assert recorder.finished[1].envelope.fragment != row.fragment


def test_a_failure_that_is_settled_late_is_finalised_although_all_attempts_have_one_row(
    site: Site, tmp_path: Path
) -> None:
    """No other attempt follows at once: it is for the plan after that, so the recorder must write."""
    recorder = FileRecorder(tmp_path / "kept-elsewhere", one_row=True)
    with recorder.coordinate(holder(pid=1)) as writer:
        (allocated,) = writer.allocate([Allocation(definition=definition(), resources=HINT, attempt=1)])
        finished = leave_results(tmp_path / "elsewhere", allocated, result())
        writer.mark_dispatched(allocated.execution_id, HINT, "local")
    crash = ExecutionFailure(kind=FailureKind.CRASHED, message="it crashed")
    ExecutionDirectory(finished.directory).write_outcome(ExecutionOutcome(execution_id=1, failure=crash))
    assert settle(recorder, tmp_path) == Leftovers(settled=1)
    assert not recorder.unfinished()
    (row,) = recorder.memory.executions()
    assert (row.failure_kind, row.retryable) == (FailureKind.CRASHED, True)


def test_results_under_the_envelope_of_another_execution_are_not_taken_in(site: Site, tmp_path: Path) -> None:
    recorder = MemoryRecorder()
    with recorder.coordinate(holder(pid=1)) as writer:
        batch = [Allocation(definition=definition(key), resources=HINT, attempt=1) for key in ("a", "b")]
        left, other = writer.allocate(batch)
        finished = leave_results(tmp_path / "elsewhere", left, result())
        writer.mark_dispatched(left.execution_id, HINT, "local")
        writer.finalise(other.execution_id, failure())
    another = finished.envelope.model_copy(update={"execution_id": other.execution_id})
    ExecutionDirectory(finished.directory).write_envelope(another)
    assert settle(recorder, tmp_path) == Leftovers(settled=1)
    assert not recorder.scalars([left.execution_id, other.execution_id])
    (row,) = recorder.executions(execution_ids=[left.execution_id])
    assert row.failure_kind is FailureKind.COORDINATOR_LOST
    assert "envelope.json is that of execution 2" in str(row.failure_message)


def test_a_file_that_a_recorder_misses_elsewhere_is_no_fault_of_the_directories(site: Site, tmp_path: Path) -> None:
    """It concerns one execution alone: the solve goes on, and the next one runs that execution again."""
    recorder = FileRecorder(tmp_path / "kept-elsewhere", loses="output.json")
    ran = run(recorder, tmp_path, [planned_with(PAYLOAD), planned_with({"a.txt": "it is there"}, key="two")])
    assert (ran.succeeded, ran.failed) == (1, 1)
    rows = {row.key: row for row in recorder.memory.executions()}
    assert (rows["one"].failure_kind, rows["one"].retryable) == (FailureKind.PUBLISH_FAILED, True)
    assert "output.json" in str(rows["one"].failure_message)
    assert rows["two"].successful


@pytest.mark.parametrize("keep", ["failed", "none"])
def test_what_a_dead_coordinator_left_is_settled_on_any_recorder(
    site: Site, tmp_path: Path, keep: Literal["failed", "none"]
) -> None:
    """One has left its outcome, one has been dispatched, and of one there is nothing but its row."""
    recorder = MemoryRecorder()
    settings = Settings(home=tmp_path / "home", scratch=tmp_path / "elsewhere", keep_scratch=keep)
    transport = LocalTransport(cpu=2, limits=QUICK)
    with recorder.coordinate(holder(pid=1)) as writer:
        batch = [Allocation(definition=definition(key), resources=HINT, attempt=1) for key in ("a", "b", "c")]
        first, second, third = writer.allocate(batch)
        for allocated in (first, second):
            finished = leave_results(settings.scratch_directory, allocated, result())
            writer.mark_dispatched(allocated.execution_id, HINT, "local")
        (finished.directory / "outcome.json").unlink()

    @flow
    def settle() -> Leftovers:
        with open_recorder_workspace(recorder, settings) as workspace:
            return settle_leftovers(workspace, transport)

    left = settle()
    transport.close(5.0)
    assert (left.settled, left.elsewhere) == (3, ())
    assert not recorder.unfinished()
    rows = {row.key: row for row in recorder.executions()}
    assert rows["a"].successful
    assert {row.dimensions["statistic"]: row.value for row in recorder.scalars([first.execution_id])} == SCALARS
    for key, status in (("b", "dispatched"), ("c", "allocated")):
        assert (rows[key].failure_kind, rows[key].retryable) == (FailureKind.COORDINATOR_LOST, True)
        assert f"while it was {status}" in str(rows[key].failure_message)
    counts = recorder.attempt_counts([definition(key) for key in "abc"])
    assert [(one.attempts, one.counted) for one in counts.values()] == [(1, 1), (1, 0), (1, 0)]
    assert third.execution_id == 3
    assert (settings.scratch_directory / first.fragment / "output").exists()  # there is no other copy
    assert (settings.scratch_directory / second.fragment / "output").exists() == (keep == "failed")


def test_the_server_that_is_configured_is_used(prefect_server: LocalServer, tmp_path: Path) -> None:
    with configured_or_local_server(tmp_path) as api_url:
        assert api_url == prefect_server.api_url
    assert not list(tmp_path.iterdir())


def test_each_phase_is_a_task_run_of_the_callers_flow(site: Site, tmp_path: Path) -> None:
    seen: list[UUID] = []

    @flow(name="somebody-elses")
    def somebody_elses() -> PlannedRun:
        seen.append(UUID(flow_run.id))
        with open_recorder_workspace(FileRecorder(tmp_path / "kept"), Settings(home=tmp_path / "home")) as workspace:
            return run_planned(workspace, InlineTransport(limits=QUICK), [planned_with(PAYLOAD)])

    somebody_elses()
    names = [shown.name.partition(" ")[0] for shown in task_runs(*seen)]
    assert sorted(names) == sorted(phase.name for phase in PHASES)

"""Whether an attempt has left a result."""

from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_recorder_workspace
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.port import AllocatedExecution, AttemptCounts
from climate_ref_prefect.testing.executions import define

FAILURE = ExecutionFailure(kind=FailureKind.CANCELLED, message="stopped")
SUCCESS, FAILED = ExecutionOutcome(execution_id=1), ExecutionOutcome(execution_id=1, failure=FAILURE)


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    allocated = AllocatedExecution(
        execution_id=1, fragment="p/d/k/1", definition=define("noop"), resources=ResourceHint(), attempt=1
    )
    with open_recorder_workspace(MemoryRecorder(), Settings(home=tmp_path)) as workspace:
        attempt = Attempt(allocated, workspace, AttemptCounts())
        attempt.directory.mkdir(parents=True)
        return attempt


def test_what_has_not_run_has_none(attempt: Attempt) -> None:
    assert not attempt.has_result()


@pytest.mark.parametrize(("outcome", "has_result"), [(SUCCESS, True), (FAILED, False)])
def test_what_lies_on_disk_counts_before_anybody_has_taken_it_in(
    attempt: Attempt, outcome: ExecutionOutcome, *, has_result: bool
) -> None:
    attempt.files.write_outcome(outcome)
    assert attempt.has_result() is has_result


def test_a_torn_file_is_none(attempt: Attempt) -> None:
    (attempt.directory / "outcome.json").write_text("{")
    assert not attempt.has_result()


@pytest.mark.parametrize(("outcome", "has_result"), [(SUCCESS, True), (FAILED, False)])
def test_what_was_taken_in_counts_more_than_the_file(
    attempt: Attempt, outcome: ExecutionOutcome, *, has_result: bool
) -> None:
    attempt.files.write_outcome(SUCCESS)
    attempt.outcome = outcome
    assert attempt.has_result() is has_result

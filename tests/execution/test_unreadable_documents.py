"""Documents that cannot be read are reported with their path and never waited for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError, UnreadableDocumentError
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.heartbeat_expiry import heartbeat_expiry_seconds
from climate_ref_prefect.execution.outcome import Telemetry
from climate_ref_prefect.execution.worker.execute import ServerPool, begin
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.testing.executions import Prepare
from tests.unreadable_documents import UNREADABLE

READERS: dict[str, Callable[[ExecutionDirectory], object]] = {
    "envelope.json": ExecutionDirectory.read_envelope,
    "claim.json": ExecutionDirectory.read_claim,
    "telemetry.json": ExecutionDirectory.read_telemetry,
    "outcome.json": ExecutionDirectory.read_outcome,
}


@pytest.fixture
def directory(tmp_path: Path) -> ExecutionDirectory:
    """An execution's directory with nothing in it."""
    return ExecutionDirectory(tmp_path)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("how", UNREADABLE)
def test_it_is_named_with_its_path(directory: ExecutionDirectory, name: str, how: str) -> None:
    path = directory.path / name
    UNREADABLE[how](path)
    with pytest.raises(UnreadableDocumentError) as caught:
        READERS[name](directory)
    assert str(caught.value).startswith(str(path))
    assert caught.value.path == path
    assert isinstance(caught.value, SchemaMismatchError) == (how == "another version")


@pytest.mark.parametrize("how", UNREADABLE)
class TestClaims:
    """A claim that cannot be read is that of another."""

    def test_nobody_runs_beside_an_unknown_holder(self, prepare: Prepare, how: str) -> None:
        path, _ = prepare("noop")
        UNREADABLE[how](path / "claim.json")
        assert not ExecutionDirectory(path).claim(Claim.of_this_process())
        failure = execute_in_process(path).failure
        assert failure is not None
        assert failure.kind is FailureKind.ALREADY_CLAIMED

    def test_closing_needs_no_reading(self, directory: ExecutionDirectory, how: str) -> None:
        UNREADABLE[how](directory.path / "closed.json")
        assert directory.is_closed()
        assert not directory.close("again")


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_worker_says_which_envelope_it_cannot_read(prepare: Prepare, how: str) -> None:
    path, _ = prepare("noop")
    envelope = path / "envelope.json"
    envelope.unlink()
    UNREADABLE[how](envelope)
    outcome = begin(ExecutionDirectory(path), ServerPool())
    assert outcome.failure is not None  # type: ignore[union-attr]
    assert str(envelope) in outcome.failure.message  # type: ignore[union-attr]


@pytest.mark.parametrize("how", UNREADABLE)
def test_telemetry_that_cannot_be_read_says_nothing(directory: ExecutionDirectory, how: str) -> None:
    UNREADABLE[how](directory.path / "telemetry.json")
    assert directory.last_telemetry() == Telemetry()
    assert directory.last_sign_of_life() is not None


def test_without_an_envelope_the_usual_heartbeats_are_waited_for(directory: ExecutionDirectory) -> None:
    (directory.path / "envelope.json").write_bytes(b"")
    assert heartbeat_expiry_seconds(directory, 90.0) == 105.0


def test_a_claim_counts_as_a_heartbeat(directory: ExecutionDirectory) -> None:
    assert directory.last_sign_of_life() is None
    assert directory.silence_seconds() == float("inf")
    directory.claim(Claim.of_this_process())
    assert directory.silence_seconds() < 60

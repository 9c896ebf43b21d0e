"""The output of an execution is examined within a time limit, with heartbeats, and the examination can be cancelled."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import Backend, Driving, kind_of, message_of
from tests.providers_of_odd_files import ODD_FILES
from tests.transports.local_backend import warmed

ODD = "tests.providers_of_odd_files:provider"
TIMEOUT_SECONDS = 60.0


@pytest.fixture(scope="module")
def odd(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driving]:
    """Keep one open whose server of odd files has been started."""
    with warmed(backend, tmp_path_factory.mktemp("warming"), ODD, "named-link") as driving:
        yield driving


class TestOddFiles:
    """What a diagnostic leaves need not be a file, and nothing of that holds anybody up."""

    def test_what_is_not_named_does_no_harm(self, odd: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("all-unnamed", target=ODD, wall_clock_seconds=10.0)
        outcome = odd.run(directory, resources)
        assert [record.path for record in outcome.manifest] == [METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES]

    @pytest.mark.parametrize("kind", ODD_FILES)
    def test_what_is_named_is_refused_at_once(self, odd: Driving, prepare: Prepare, kind: str) -> None:
        outcome = odd.run(*prepare(f"named-{kind}", target=ODD))
        assert kind_of(outcome) is FailureKind.INVALID_RESULT
        assert "data 'file0' names 'odd', which" in message_of(outcome)

    def test_what_stands_where_bundles_go_is_replaced_not_written_through(self, odd: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("in-place-of-bundles", target=ODD)
        assert odd.run(directory, resources).succeeded
        assert (directory / "outside").read_text() == "mine"
        assert all((directory / "output" / name).is_file() for name in (METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES))

    def test_a_directory_where_a_bundle_goes_is_the_diagnostics_own_fault(self, odd: Driving, prepare: Prepare) -> None:
        outcome = odd.run(*prepare("directory-for-bundle", target=ODD))
        assert kind_of(outcome) is FailureKind.INVALID_RESULT
        assert METRIC_BUNDLE in message_of(outcome)


@pytest.mark.slow
class TestLongExamination:
    """There is more to read than anybody waits for."""

    def test_it_shows_life_and_hears_that_it_is_cancelled(self, own: Driving, prepare: Prepare) -> None:
        directory, future = examined(own, prepare)
        first = wait_until(ExecutionDirectory(directory).read_telemetry)
        wait_until(lambda: (now := ExecutionDirectory(directory).read_telemetry()) and now.sequence > first.sequence)
        own.cancel_all()
        assert kind_of(future.result(TIMEOUT_SECONDS)) is FailureKind.CANCELLED

    def test_it_hears_sigterm(self, own: Driving, prepare: Prepare) -> None:
        directory, future = examined(own, prepare)
        os.kill(supervisor_of(directory), signal.SIGTERM)
        outcome = future.result(TIMEOUT_SECONDS)
        assert kind_of(outcome) is FailureKind.WORKER_LOST
        assert ExecutionDirectory(directory).read_outcome() == outcome

    def test_it_sees_that_it_is_closed(self, own: Driving, prepare: Prepare) -> None:
        directory, future = examined(own, prepare)
        ExecutionDirectory(directory).close("given up")
        assert kind_of(future.result(TIMEOUT_SECONDS)) is FailureKind.CANCELLED

    def test_closing_the_transport_leaves_nothing_behind(self, backend: Backend, prepare: Prepare) -> None:
        with Driving(backend.open(), backend.allowances) as driving:
            directory, _ = examined(driving, prepare)
            claim = ExecutionDirectory(directory).read_claim()
        assert claim is not None
        assert not claim.is_alive_here()
        assert kind_of(ExecutionDirectory(directory).read_outcome()) is FailureKind.CANCELLED

    def test_past_its_limit_it_is_a_system_error_that_says_so(self, own: Driving, prepare: Prepare) -> None:
        limits = QUICK.model_copy(update={"describe_deadline_seconds": 1.0})
        _, future = examined(own, prepare, limits)
        outcome = future.result(TIMEOUT_SECONDS)
        assert kind_of(outcome) is FailureKind.SYSTEM_ERROR
        assert "within 1 s (the limit describe_deadline_seconds)" in message_of(outcome)
        assert "MiB of it" in message_of(outcome)
        assert not outcome.manifest

    def test_the_wall_clock_is_for_the_diagnostic_alone(self, own: Driving, prepare: Prepare) -> None:
        limits = QUICK.model_copy(update={"describe_deadline_seconds": 4.0})
        directory, resources = prepare("much", target=ODD, limits=limits, wall_clock_seconds=2.0)
        outcome = own.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SYSTEM_ERROR
        assert outcome.telemetry.duration_seconds < 2.0


def examined(driving: Driving, prepare: Prepare, limits: WorkerLimits = QUICK) -> tuple[Path, Future[ExecutionOutcome]]:
    """Run an execution up to where what it has left is examined, which takes minutes."""
    directory, resources = prepare("much", target=ODD, limits=limits)
    future = driving.start(directory, resources)
    wait_until(lambda: "Finished" in read_or_empty(directory / "run.log"))
    return directory, future


def supervisor_of(directory: Path) -> int:
    """Return the pid of the supervisor of an execution."""
    claim = ExecutionDirectory(directory).read_claim()
    assert claim is not None
    return claim.pid


def read_or_empty(path: Path) -> str:
    """Return what is in a file; nothing if there is none."""
    return path.read_text() if path.exists() else ""

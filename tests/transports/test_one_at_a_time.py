"""`inline` in the coordinator's own process, for a debugger."""

import os
from collections.abc import Iterator

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import started_here
from climate_ref_prefect.testing.transports.contract_driver import environment_of, kind_of, message_of
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport, UnguardedWarning
from climate_ref_prefect.transports.transport_driver import TransportDriver

CLOSE_SECONDS = 1.0
pytestmark = pytest.mark.filterwarnings(
    "ignore::climate_ref_prefect.transports.this_machine.one_at_a_time.UnguardedWarning"
)


@pytest.fixture
def driver() -> Iterator[TransportDriver]:
    """An open driver of a transport that runs everything in this process."""
    driver = TransportDriver(InlineTransport(in_process=True))
    yield driver
    driver.close(CLOSE_SECONDS)


def test_a_diagnostic_runs_in_this_very_process(driver: TransportDriver, prepare: Prepare) -> None:
    before = started_here()
    directory, resources = prepare("environment")
    assert driver.run(directory, resources).succeeded
    assert environment_of(directory)["PYTEST_CURRENT_TEST"] == os.environ["PYTEST_CURRENT_TEST"]
    claim = ExecutionDirectory(directory).read_claim()
    assert claim is not None
    assert claim.pid == os.getpid()
    assert started_here() == before


def test_the_outcome_is_like_any_other(driver: TransportDriver, prepare: Prepare) -> None:
    directory, resources = prepare("writing")
    outcome = driver.run(directory, resources)
    assert [record.path for record in outcome.manifest] == ["metric.json", "output.json", "series.json", "values.txt"]
    assert ExecutionDirectory(directory).read_outcome() == outcome


@pytest.mark.parametrize(
    ("diagnostic", "kind"),
    [
        ("own-error", FailureKind.DIAGNOSTIC_ERROR),
        ("os-error", FailureKind.SYSTEM_ERROR),
        ("system-exit", FailureKind.DIAGNOSTIC_ERROR),
        ("not-a-result", FailureKind.INVALID_RESULT),
    ],
)
def test_a_failure_has_its_kind_and_the_next_one_runs(
    driver: TransportDriver, prepare: Prepare, diagnostic: str, kind: FailureKind
) -> None:
    assert kind_of(driver.run(*prepare(diagnostic))) is kind
    assert driver.run(*prepare("noop")).succeeded


def test_a_provider_that_ends_its_process_at_import_does_not_end_this_one(
    driver: TransportDriver, prepare: Prepare
) -> None:
    outcome = driver.run(*prepare(target="climate_ref_prefect.testing.providers.import_exit:provider"))
    assert kind_of(outcome) is FailureKind.PROVIDER_IMPORT
    assert "providers.import_exit" in message_of(outcome)


def test_a_second_delivery_runs_nothing(driver: TransportDriver, prepare: Prepare) -> None:
    execution = prepare("writing")
    assert driver.run(*execution) == driver.run(*execution)


def test_an_attempt_that_was_given_up_does_not_run(driver: TransportDriver, prepare: Prepare) -> None:
    directory, resources = prepare("writing")
    ExecutionDirectory(directory).close("the coordinator lost patience")
    assert kind_of(driver.run(directory, resources)) is FailureKind.CANCELLED
    assert not (directory / "output").exists()


def test_an_envelope_of_another_version_is_refused(driver: TransportDriver, prepare: Prepare) -> None:
    directory, resources = prepare("writing")
    (directory / "envelope.json").write_text('{"schema_version": 77}')
    assert kind_of(driver.run(directory, resources)) is FailureKind.SCHEMA_MISMATCH
    assert driver.run(*prepare("noop")).succeeded


def test_one_that_waits_can_be_cancelled(prepare: Prepare) -> None:
    transport = InlineTransport(in_process=True)
    submission = transport.submit(*prepare("writing"))
    transport.cancel(submission)
    (ended,) = transport.wait(0.0)
    assert ended.submission == submission
    assert kind_of(ended.outcome) is FailureKind.CANCELLED


@pytest.mark.filterwarnings("default::climate_ref_prefect.transports.this_machine.one_at_a_time.UnguardedWarning")
def test_it_warns_that_nothing_is_guarded(prepare: Prepare) -> None:
    transport = InlineTransport(in_process=True)
    transport.submit(*prepare("noop"))
    with pytest.warns(UnguardedWarning, match="no deadline"):
        transport.wait(0.0)

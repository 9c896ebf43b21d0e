"""Executions that run in threads of a process are cancelled, awaited and closed from other threads."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.active_executions import ActiveExecutions
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of

HANGING = "climate_ref_prefect.testing.providers.import_hang:provider"
SECONDS = 60.0


def test_one_that_runs_is_cancelled_and_then_is_active_no_more(prepare: Prepare) -> None:
    active, (directory, _) = ActiveExecutions(), prepare("wait-to-go")
    assert not active.cancel(directory)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(active.execute, directory)
        wait_until((directory / "output" / "started").exists, SECONDS)
        assert not active.wait_until_none(0)
        assert active.cancel(directory)
        assert kind_of(future.result(SECONDS)) is FailureKind.CANCELLED
    assert not active.cancel(directory)
    assert active.wait_until_none(0)
    active.close(SECONDS)


def test_closing_cancels_what_runs_and_ends_imports_that_hang(prepare: Prepare) -> None:
    active = ActiveExecutions()
    (runs, _), (hangs, _) = prepare("wait-to-go"), prepare(target=HANGING)
    with ThreadPoolExecutor(2) as threads:
        futures: list[Future[ExecutionOutcome]] = [threads.submit(active.execute, path) for path in (runs, hangs)]
        wait_until((runs / "output" / "started").exists, SECONDS)
        wait_until(lambda: running_with(HANGING), SECONDS)
        active.close(SECONDS)
        outcomes = [future.result(SECONDS) for future in futures]
    assert kind_of(outcomes[0]) is FailureKind.CANCELLED
    assert not outcomes[1].succeeded
    assert active.wait_until_none(0)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_directory_without_an_envelope_is_an_outcome_too(tmp_path: Path, name: str) -> None:
    active = ActiveExecutions()
    assert not active.execute(tmp_path / name).succeeded
    active.close(SECONDS)

"""Cancelling and closing: the fourth part of the contract."""

import time

import pytest

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import (
    left_behind,
    none_alive,
    noted_processes,
    running_with,
    started_here,
    wait_until,
)
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    Backend,
    Driving,
    collect,
    kind_of,
)
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.transport_driver import TransportClosedError

_HANGING = "climate_ref_prefect.testing.providers.import_hang:provider"


class CancellingContract:
    """Whatever is cancelled or closed ends soon, with all its processes."""

    def test_cancelling_ends_the_whole_tree_and_is_told_once(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        directory, resources = prepare("tree-long")
        submission = narrow.submit(directory, resources)
        processes = noted_processes(directory / "output", 3)
        narrow.cancel(submission)
        narrow.cancel(submission)
        (ended,) = collect(narrow, 1, allowances)
        assert ended.submission == submission
        assert kind_of(ended.outcome or ExecutionDirectory(directory).read_outcome()) is FailureKind.CANCELLED
        assert none_alive(processes) or not allowances.on_this_host
        assert narrow.wait(0.1) == []

    def test_one_that_waits_can_be_cancelled_and_the_next_takes_its_turn(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        (first, resources), (second, _), (third, _) = prepare("wait-to-go"), prepare("writing"), prepare("writing")
        submissions = [narrow.submit(directory, resources) for directory in (first, second, third)]
        wait_until((first / "output" / "started").exists, allowances.timeout_seconds)
        narrow.cancel(submissions[1])
        (ended,) = collect(narrow, 1, allowances)
        assert ended.submission == submissions[1]
        (first / "output" / "go").touch()
        assert [ended.submission for ended in collect(narrow, 2, allowances)] == [submissions[0], submissions[2]]
        assert not (second / "output").exists()
        assert [(path / "output" / METRIC_BUNDLE).exists() for path in (first, third)] == [True, True]

    def test_cancel_all_ends_everything_as_cancelled(
        self, own: Driving, prepare: Prepare, allowances: Allowances
    ) -> None:
        executions = [prepare("long") for _ in range(6)]
        futures = [own.start(*execution) for execution in executions]
        wait_until(lambda: any((directory / "output").exists() for directory, _ in executions))
        own.cancel_all()
        outcomes = [future.result(allowances.timeout_seconds) for future in futures]
        assert {kind_of(outcome) for outcome in outcomes} == {FailureKind.CANCELLED}

    def test_closing_with_executions_running_lets_go_of_waiters_and_leaves_no_process(
        self, backend: Backend, prepare: Prepare, allowances: Allowances
    ) -> None:
        before = started_here()
        driving = Driving(backend.open(), allowances)
        directory, resources = prepare("tree-long")
        futures = [driving.start(directory, resources)]
        processes = noted_processes(directory / "output", 3)
        futures += [driving.start(*prepare("long")) for _ in range(5)]
        driving.close()
        for future in futures:
            assert isinstance(future.exception(allowances.timeout_seconds), TransportClosedError)
        assert none_alive(processes) or not allowances.on_this_host
        wait_until(lambda: not left_behind(before), allowances.timeout_seconds)

    def test_closing_does_not_wait_for_a_provider_that_hangs_while_imported(
        self, backend: Backend, prepare: Prepare, allowances: Allowances
    ) -> None:
        before = started_here()
        driving = Driving(backend.open(), allowances)
        executions = [prepare(target=_HANGING) for _ in range(2)]
        futures = [driving.start(*execution) for execution in executions]
        wait_until(lambda: running_with(_HANGING), allowances.timeout_seconds)
        began = time.monotonic()
        driving.close()
        assert time.monotonic() - began < QUICK.import_deadline_seconds / 2
        assert all(future.exception(0) is not None for future in futures)
        wait_until(lambda: not left_behind(before), allowances.timeout_seconds)
        wait_until(
            lambda: not running_with(_HANGING),
            allowances.timeout_seconds,
        )

    def test_an_execution_that_comes_after_the_closing_is_refused(self, backend: Backend, prepare: Prepare) -> None:
        driving = Driving(backend.open(), backend.allowances)
        future = driving.start(*prepare("noop"))
        future.result(backend.allowances.timeout_seconds)
        driving._driver.close(backend.allowances.close_seconds)
        with pytest.raises(TransportClosedError):
            driving.run(*prepare("noop"))
        driving.close()

    def test_a_transport_can_be_closed_twice_and_used_again(self, backend: Backend, prepare: Prepare) -> None:
        transport = backend.open()
        for _ in range(2):
            with Driving(transport, backend.allowances) as driving:
                assert driving.run(*prepare("noop")).succeeded
        transport.close(backend.allowances.close_seconds)

"""The documents of an execution, however often and late it is delivered: the third part of the contract."""

import json
import os

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    Driving,
    kind_of,
    message_of,
    without_place,
)


class FileProtocolContract:
    """The file protocol holds however often and however late an execution is delivered."""

    def test_a_second_delivery_runs_nothing_and_yields_the_first_outcome(
        self, shared: Driving, prepare: Prepare
    ) -> None:
        directory, resources = prepare("writing")
        first = shared.run(directory, resources)
        before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
        second = shared.run(directory, resources)
        assert without_place(second) == without_place(first)
        assert {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()} == before

    def test_a_second_delivery_beside_the_first_shares_its_outcome(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("work")
        first, second = shared.run_all([(directory, resources)] * 2)
        assert first.succeeded
        assert first == second

    def test_another_delivery_while_it_runs_leaves_it_alone(
        self, shared: Driving, own: Driving, prepare: Prepare, allowances: Allowances
    ) -> None:
        directory, resources = prepare("wait-to-go")
        first = shared.start(directory, resources)
        shared.wait_for(directory / "output" / "started")
        assert kind_of(own.run(directory, resources)) is FailureKind.ALREADY_CLAIMED
        (directory / "output" / "go").touch()
        assert first.result(allowances.timeout_seconds).succeeded

    def test_an_attempt_that_was_given_up_does_not_run(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        ExecutionDirectory(directory).close("the coordinator lost patience")
        assert kind_of(shared.run(directory, resources)) is FailureKind.CANCELLED
        assert not (directory / "output").exists()

    def test_an_envelope_of_another_version_is_refused_naming_both(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        envelope = directory / "envelope.json"
        envelope.write_text(json.dumps({"schema_version": 77, "something": "new"}), encoding="utf-8")
        outcome = shared.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SCHEMA_MISMATCH
        assert "version 77" in message_of(outcome)
        assert "reads 1" in message_of(outcome)
        assert not (directory / "output").exists()

    def test_a_torn_envelope_is_a_system_error(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        os.truncate(directory / "envelope.json", 100)
        assert kind_of(shared.run(directory, resources)) is FailureKind.SYSTEM_ERROR

    def test_what_it_leaves_is_closed_to_other_users(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        shared.run(directory, resources)
        assert directory.stat().st_mode & 0o077 == 0
        assert [path for path in (directory / "output").rglob("*") if path.stat().st_mode & 0o007] == []

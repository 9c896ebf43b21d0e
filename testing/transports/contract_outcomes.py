"""Each way in which an execution ends, and what its outcome must say: the first part of the contract."""

import hashlib
import socket
import time

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import (
    none_alive,
    noted_processes,
    wait_until,
)
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    Driving,
    kind_of,
    message_of,
    without_place,
)

ENDINGS = [
    ("own-error", FailureKind.DIAGNOSTIC_ERROR, "DiagnosticError: no such method"),
    ("value-error", FailureKind.DIAGNOSTIC_ERROR, "ValueError: wrong"),
    ("os-error", FailureKind.SYSTEM_ERROR, "disk on fire"),
    ("system-exit", FailureKind.DIAGNOSTIC_ERROR, "SystemExit: 3"),
    ("own-cause", FailureKind.DIAGNOSTIC_ERROR, "ZeroDivisionError: division by zero"),
    ("memory-error", FailureKind.OUT_OF_MEMORY, "MemoryError"),
    ("os-exit", FailureKind.CRASHED, "exit code 7"),
    ("segfault", FailureKind.CRASHED, "SIGSEGV"),
    ("killed", FailureKind.KILLED, "SIGKILL"),
    ("not-a-result", FailureKind.INVALID_RESULT, "must return an ExecutionResult"),
    ("not-json", FailureKind.INVALID_RESULT, "must be an int, a float or null"),
    ("missing-file", FailureKind.INVALID_RESULT, "'none.nc', which does not exist"),
    ("link", FailureKind.INVALID_RESULT, "passes through a link"),
    ("command-fails", FailureKind.DIAGNOSTIC_ERROR, "exit code 3"),
    ("command-missing", FailureKind.DIAGNOSTIC_ERROR, "no-such-program cannot be started"),
    ("command-killed", FailureKind.KILLED, "sh was killed"),
    ("hang", FailureKind.TIMEOUT, "wall clock limit of 1 s"),
    ("allocate", FailureKind.OUT_OF_MEMORY, "it asked for 256 MiB"),
]
OUTPUTS = ["output-closed", "output-wrapped", "output-none", "output-without-flush", "output-that-raises"]
EXIT_CODES = {"os-exit": 7, "segfault": -11, "killed": -9, "own-error": 0}


class OutcomesContract:
    """Each way to end has its outcome."""

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_a_result_is_a_success_with_a_manifest_of_all_files(
        self, shared: Driving, prepare: Prepare, isolation: Isolation
    ) -> None:
        directory, resources = prepare("writing", isolation=isolation)
        outcome = shared.run(directory, resources)
        assert outcome.succeeded
        assert [record.path for record in outcome.manifest] == [METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, "values.txt"]
        for record in outcome.manifest:
            content = (directory / "output" / record.path).read_bytes()
            assert (record.size_bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())

    def test_the_outcome_is_in_its_file_and_names_its_execution(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        outcome = shared.run(directory, resources)
        execution = ExecutionDirectory(directory)
        assert without_place(execution.read_outcome()) == without_place(outcome)
        assert outcome.execution_id == execution.read_envelope().execution_id

    def test_what_is_printed_is_in_the_log(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        shared.run(directory, resources)
        assert "writing for CanESM5" in (directory / "run.log").read_text(encoding="utf-8")

    def test_the_claim_names_who_ran_it(self, shared: Driving, prepare: Prepare, allowances: Allowances) -> None:
        directory, resources = prepare("noop")
        outcome = shared.run(directory, resources)
        claim = ExecutionDirectory(directory).read_claim()
        assert claim is not None
        assert claim.host == outcome.telemetry.host
        if allowances.on_this_host:
            assert claim.is_of_this_host()
            wait_until(lambda: not claim.is_alive_here(), allowances.timeout_seconds)

    def test_telemetry_tells_host_time_and_memory(
        self, shared: Driving, prepare: Prepare, allowances: Allowances
    ) -> None:
        directory, resources = prepare("work")
        outcome = shared.run(directory, resources)
        measured = outcome.telemetry
        assert measured.host == socket.gethostname() or not allowances.on_this_host
        assert 0.3 <= measured.duration_seconds < allowances.timeout_seconds
        assert 0.3 <= measured.cpu_seconds <= measured.duration_seconds + 1
        assert 40 <= measured.peak_rss_mb < 256
        assert measured.memory_source in ("pss", "rss", "cgroup", "rusage")
        assert abs(time.time() - measured.started_at) < 2 * allowances.timeout_seconds
        assert measured.exit_code == 0
        kept = ExecutionDirectory(directory).read_telemetry()
        assert kept is not None
        assert kept.model_copy(update={"transport_meta": measured.transport_meta}) == measured

    @pytest.mark.parametrize(("diagnostic", "kind", "words"), ENDINGS)
    def test_a_failure_has_its_kind_and_says_why(
        self, shared: Driving, prepare: Prepare, diagnostic: str, kind: FailureKind, words: str
    ) -> None:
        directory, resources = prepare(diagnostic)
        outcome = shared.run(directory, resources)
        assert kind_of(outcome) is kind
        assert words in message_of(outcome)
        assert not outcome.manifest
        assert without_place(ExecutionDirectory(directory).read_outcome()) == without_place(outcome)
        assert outcome.telemetry.exit_code == EXIT_CODES.get(diagnostic, outcome.telemetry.exit_code)

    @pytest.mark.parametrize(
        ("diagnostic", "kind"),
        [
            ("own-error", FailureKind.DIAGNOSTIC_ERROR),
            ("segfault", FailureKind.CRASHED),
            ("killed", FailureKind.KILLED),
            ("hang", FailureKind.TIMEOUT),
        ],
    )
    def test_a_new_interpreter_fails_the_same_ways(
        self, shared: Driving, prepare: Prepare, diagnostic: str, kind: FailureKind
    ) -> None:
        limit = 2.0 if diagnostic == "hang" else None  # the import counts, too
        execution = prepare(diagnostic, isolation="fresh", wall_clock_seconds=limit)
        assert kind_of(shared.run(*execution)) is kind

    @pytest.mark.parametrize("diagnostic", OUTPUTS)
    def test_what_becomes_of_the_standard_output_is_no_failure(
        self, shared: Driving, prepare: Prepare, diagnostic: str
    ) -> None:
        directory, resources = prepare(diagnostic)
        assert kind_of(shared.run(directory, resources)) is None

    def test_a_failure_keeps_the_traceback_in_its_details_and_the_log(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("value-error")
        failure = shared.run(directory, resources).failure
        assert failure is not None
        assert "raise error" in failure.details
        assert "raise error" in (directory / "run.log").read_text(encoding="utf-8")

    def test_a_command_succeeds_and_its_output_is_in_the_log(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("command")
        assert shared.run(directory, resources).succeeded
        assert "from the command" in (directory / "run.log").read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_a_log_of_300_mb_does_no_harm_and_keeps_both_ends(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("print-much")
        outcome = shared.run(directory, resources)
        assert outcome.succeeded
        log = (directory / "run.log").read_bytes()
        assert 49 << 20 <= len(log) <= 51 << 20
        assert b"Running test/print-much" in log[:1000]
        assert b"bytes are left out here: a log is limited to 50 MiB" in log
        assert b"Finished test/print-much" in log[-1000:]
        assert b"\0" not in log

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("diagnostic", "kind"),
        [("tree", None), ("tree-hang", FailureKind.TIMEOUT), ("tree-crash", FailureKind.CRASHED)],
    )
    def test_no_detached_process_outlives_its_execution(
        self, shared: Driving, prepare: Prepare, allowances: Allowances, diagnostic: str, kind: FailureKind | None
    ) -> None:
        limit = 3.0 if kind is FailureKind.TIMEOUT else None  # time to start the tree
        directory, resources = prepare(diagnostic, wall_clock_seconds=limit)
        assert kind_of(shared.run(directory, resources)) is kind
        processes = noted_processes(directory / "output", 3)
        assert none_alive(processes) or not allowances.on_this_host

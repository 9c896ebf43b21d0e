"""
What every transport must do, whatever stands behind it.

A test module for a transport has a subclass of `TransportContract` that is collected and a fixture `backend` of module
scope; `conftest.py` opens it. Everything goes through the public doors: `TransportDriver.run` and the port's methods.
"""

import hashlib
import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.definition import Isolation, WorkerLimits
from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.diagnostics.result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.transports.driver import TransportClosedError
from climate_ref_prefect.transports.port import Submission, Transport
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.here import execute_here
from tests.executions import IMPATIENT, QUICK, Prepare
from tests.processes import left_behind, none_alive, noted_processes, running_with, started_here, wait_until
from tests.transports.driving import (
    Allowances,
    Backend,
    Driving,
    collect,
    environment_of,
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
BROKEN_IMPORTS = [
    ("tests.providers_that_fail:provider", "the licence server does not answer"),
    ("tests.providers_that_hang:provider", "not imported after 1 s"),
    ("tests.providers_that_crash:provider", "SIGSEGV"),
    ("tests.providers_that_exit:provider", "4"),
    ("tests.no_such_module:provider", "No module named"),
    ("tests.providers:SMALL", "not a DiagnosticProvider"),
]
ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
COORDINATORS_OWN = {
    "PREFECT_API_KEY": "s3cr3t",
    "PREFECT_API_URL": "https://example.org",
    "CLIMATE_REF_PREFECT_DATABASE": "postgresql://user:s3cr3t@example.org/store",
    "PGPASSWORD": "s3cr3t",
    "PGPASSFILE": "/home/user/s3cr3t",
    "DASK_DISTRIBUTED__COMM__TLS__SCHEDULER__KEY": "/home/user/s3cr3t.pem",
    "DISPLAY": "s3cr3t:0",
    "WAYLAND_DISPLAY": "s3cr3t-0",
}
LANGUAGE = {"LANG": "C.UTF-8", "LC_NUMERIC": "de_DE.UTF-8", "TZ": "Asia/Kolkata", "PYTHONUTF8": "1"}
OVERRULING = {
    "SBATCH_PARTITION": "nosuch",
    "SBATCH_MEM_PER_CPU": "9T",
    "SBATCH_TIMELIMIT": "1",
    "SLURM_MEM_PER_NODE": "1",
}
"""What a user's shell may say to a scheduler, at which the job would be refused or be too small."""
OF_THE_USER = ("calendar", "json", "numpy", "queue", "random", "prefect", "distributed")
"""Modules whose names a user may have given to scripts of their own."""


class EndingContract:
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
        assert "writing for CanESM5" in (directory / "run.log").read_text()

    def test_the_claim_names_who_ran_it(self, shared: Driving, prepare: Prepare, allowances: Allowances) -> None:
        directory, resources = prepare("noop")
        outcome = shared.run(directory, resources)
        claim = ExecutionDirectory(directory).read_claim()
        assert claim is not None
        assert claim.host == outcome.telemetry.host
        if allowances.on_this_host:
            assert claim.is_of_this_host()
            wait_until(lambda: not claim.is_alive_here(), allowances.patience_seconds)

    def test_telemetry_tells_host_time_and_memory(
        self, shared: Driving, prepare: Prepare, allowances: Allowances
    ) -> None:
        directory, resources = prepare("work")
        outcome = shared.run(directory, resources)
        measured = outcome.telemetry
        assert measured.host == socket.gethostname() or not allowances.on_this_host
        assert 0.3 <= measured.duration_seconds < allowances.patience_seconds
        assert 0.3 <= measured.cpu_seconds <= measured.duration_seconds + 1
        assert 40 <= measured.peak_rss_mb < 256
        assert measured.memory_source in ("pss", "rss", "cgroup", "rusage")
        assert abs(time.time() - measured.started_at) < 2 * allowances.patience_seconds
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
        assert "raise error" in (directory / "run.log").read_text()

    def test_a_command_succeeds_and_its_output_is_in_the_log(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("command")
        assert shared.run(directory, resources).succeeded
        assert "from the command" in (directory / "run.log").read_text()

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


class IsolationContract:
    """Executions know nothing of each other, and as little as possible of the coordinator."""

    def test_the_bytes_of_a_result_are_the_same_everywhere(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        reference, _ = prepare("writing")
        shared.run(directory, resources)
        execute_here(reference)
        for name in (METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES):
            assert (directory / "output" / name).read_bytes() == (reference / "output" / name).read_bytes()

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_a_child_sees_no_state_of_another(self, shared: Driving, prepare: Prepare, isolation: Isolation) -> None:
        outcomes = shared.run_all([prepare("state", isolation=isolation) for _ in range(3)])
        assert [kind_of(outcome) for outcome in outcomes] == [None, None, None]

    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_no_setting_or_secret_of_the_coordinator_reaches_a_diagnostic(
        self, own: Driving, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, isolation: Isolation
    ) -> None:
        monkeypatch.delenv("LC_ALL", raising=False)
        for name, value in {**COORDINATORS_OWN, **LANGUAGE, **OVERRULING, "MPLBACKEND": "TkAgg"}.items():
            monkeypatch.setenv(name, value)
        directory, resources = prepare("environment", isolation=isolation)
        assert own.run(directory, resources).succeeded
        seen = environment_of(directory)
        assert [name for name in seen if name.startswith(("PREFECT_", "CLIMATE_REF_PREFECT_"))] == []
        assert "s3cr3t" not in json.dumps(seen)
        assert {name: seen.get(name) for name in (*LANGUAGE, "LC_ALL")} == {**LANGUAGE, "LC_ALL": None}
        assert seen["MPLBACKEND"] == "Agg"

    def test_scripts_of_the_user_in_the_current_directory_do_no_harm(
        self, own: Driving, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = tmp_path / "mine"
        directory.mkdir()
        for name in OF_THE_USER:
            (directory / f"{name}.py").write_text(
                "raise SystemExit('the script of the user was run')", encoding="utf-8"
            )
        shutil.copy(ROOT / "tests" / "providers.py", directory / "mine.py")
        monkeypatch.chdir(directory)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", str(ROOT)]))
        monkeypatch.syspath_prepend(str(directory))
        for isolation in ("warm", "fresh"):
            outcome = own.run(*prepare("state", target="mine:provider", isolation=isolation))
            assert outcome.succeeded, outcome.failure

    def test_thread_counts_are_those_of_the_hint(self, own: Driving, prepare: Prepare) -> None:
        executions = [prepare("environment", cpu=cpu) for cpu in (1, 2)]
        own.run_all(executions)
        for directory, resources in executions:
            seen = environment_of(directory)
            assert {seen[name] for name in THREAD_VARIABLES} == {str(resources.cpu)}

    def test_many_at_once_all_end(self, shared: Driving, prepare: Prepare) -> None:
        outcomes = shared.run_all([prepare("noop") for _ in range(30)])
        assert all(outcome.succeeded for outcome in outcomes)
        assert len({outcome.execution_id for outcome in outcomes}) == 30

    def test_one_that_fails_leaves_those_beside_it_alone(self, shared: Driving, prepare: Prepare) -> None:
        names = ["segfault", "work", "killed", "work", "os-exit", "work"]
        outcomes = shared.run_all([prepare(name) for name in names])
        assert [outcome.succeeded for outcome in outcomes] == [name == "work" for name in names]

    def test_executions_run_side_by_side(self, shared: Driving, prepare: Prepare, allowances: Allowances) -> None:
        if not allowances.side_by_side:
            pytest.skip("it runs one after another")
        executions = [prepare("wait-to-go") for _ in range(2)]
        futures = [shared.start(*execution) for execution in executions]
        shared.wait_for(*(directory / "output" / "started" for directory, _ in executions))
        for directory, _ in executions:
            (directory / "output" / "go").touch()
        assert all(future.result(allowances.patience_seconds).succeeded for future in futures)

    @pytest.mark.slow
    @pytest.mark.parametrize("isolation", ["warm", "fresh"])
    def test_a_provider_that_cannot_be_imported_fails_and_the_others_go_on(
        self, own: Driving, prepare: Prepare, isolation: Isolation
    ) -> None:
        broken = [
            prepare(target=target, isolation=isolation, limits=IMPATIENT if "hang" in target else QUICK)
            for target, _ in BROKEN_IMPORTS
        ]
        healthy = [prepare("noop") for _ in range(2)]
        outcomes = own.run_all([*broken, *healthy])
        for (target, words), outcome, (directory, _) in zip(BROKEN_IMPORTS, outcomes, broken, strict=False):
            assert kind_of(outcome) is FailureKind.PROVIDER_IMPORT, target
            assert words in message_of(outcome)
            assert target in message_of(outcome)
            assert without_place(ExecutionDirectory(directory).read_outcome()) == without_place(outcome)
        assert [outcome.succeeded for outcome in outcomes[len(broken) :]] == [True, True]

    def test_what_a_crashing_import_printed_is_kept(self, own: Driving, prepare: Prepare) -> None:
        directory, resources = prepare(target="tests.providers_that_crash:provider")
        own.run(directory, resources)
        assert "asking the licence server" in (directory / "run.log").read_text()

    def test_a_diagnostic_that_the_provider_does_not_have_is_the_providers_error(
        self, shared: Driving, prepare: Prepare
    ) -> None:
        outcome = shared.run(*prepare("nonexistent"))
        assert kind_of(outcome) is FailureKind.DIAGNOSTIC_ERROR
        assert "nonexistent" in message_of(outcome)


class ProtocolContract:
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
        assert first.result(allowances.patience_seconds).succeeded

    def test_an_attempt_that_was_given_up_does_not_run(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        ExecutionDirectory(directory).close("the coordinator lost patience")
        assert kind_of(shared.run(directory, resources)) is FailureKind.CANCELLED
        assert not (directory / "output").exists()

    def test_an_envelope_of_another_version_is_refused_naming_both(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        envelope = directory / "envelope.json"
        envelope.write_text(json.dumps({"schema_version": 77, "something": "new"}))
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


class StoppingContract:
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
        wait_until((first / "output" / "started").exists, allowances.patience_seconds)
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
        outcomes = [future.result(allowances.patience_seconds) for future in futures]
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
            assert isinstance(future.exception(allowances.patience_seconds), TransportClosedError)
        assert none_alive(processes) or not allowances.on_this_host
        wait_until(lambda: not left_behind(before), allowances.patience_seconds)

    def test_closing_does_not_wait_for_a_provider_that_hangs_while_imported(
        self, backend: Backend, prepare: Prepare, allowances: Allowances
    ) -> None:
        before = started_here()
        driving = Driving(backend.open(), allowances)
        executions = [prepare(target="tests.providers_that_hang:provider") for _ in range(2)]
        futures = [driving.start(*execution) for execution in executions]
        wait_until(lambda: running_with("tests.providers_that_hang:provider"), allowances.patience_seconds)
        began = time.monotonic()
        driving.close()
        assert time.monotonic() - began < QUICK.import_deadline_seconds / 2
        assert all(future.exception(0) is not None for future in futures)
        wait_until(lambda: not left_behind(before), allowances.patience_seconds)
        wait_until(lambda: not running_with("tests.providers_that_hang:provider"), allowances.patience_seconds)

    def test_an_execution_that_comes_after_the_closing_is_refused(self, backend: Backend, prepare: Prepare) -> None:
        driving = Driving(backend.open(), backend.allowances)
        future = driving.start(*prepare("noop"))
        future.result(backend.allowances.patience_seconds)
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


class PortContract:
    """The port's methods keep to their words where nothing is wrong, too."""

    def test_it_is_a_transport_of_a_short_name_with_room(self, narrow: Transport) -> None:
        assert isinstance(narrow, Transport)
        assert narrow.name.isidentifier()
        assert narrow.slots >= 1
        assert narrow.outcome_patience_seconds >= 0
        assert isinstance(narrow.limits, WorkerLimits)

    def test_a_submission_is_plain_json_and_can_be_kept(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        submission = narrow.submit(*prepare("noop"))
        assert submission.transport == narrow.name
        assert Submission.model_validate_json(submission.model_dump_json()) == submission
        assert [ended.submission for ended in collect(narrow, 1, allowances)] == [submission]

    def test_waiting_for_nothing_ends_in_time(self, narrow: Transport) -> None:
        assert narrow.wait(0.05) == []

    def test_what_it_does_not_know_is_ignored_and_not_explained(
        self, narrow: Transport, tmp_path: Path, prepare: Prepare
    ) -> None:
        unknown = Submission(transport=narrow.name, directory=tmp_path / "nowhere")
        narrow.cancel(unknown)
        assert narrow.explain(unknown) is None
        assert narrow.wait(0.05) == []

    def test_check_gives_no_more_than_is_asked_for(self, narrow: Transport, prepare: Prepare) -> None:
        _, resources = prepare("noop")
        given = narrow.check(resources)
        assert (given.cpu, given.memory_mb) <= (resources.cpu, resources.memory_mb)


class TransportContract(EndingContract, IsolationContract, ProtocolContract, StoppingContract, PortContract):
    """All of it."""

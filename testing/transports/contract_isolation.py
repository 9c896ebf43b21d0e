"""Isolation of executions from each other and from their coordinator: the second part of the contract."""

import json
import os
import shutil
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.testing.executions import IMPATIENT, QUICK, Prepare
from climate_ref_prefect.testing.providers import contract_provider
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    Driving,
    environment_of,
    kind_of,
    message_of,
    without_place,
)

BROKEN_IMPORTS = [
    ("climate_ref_prefect.testing.providers.import_error:provider", "the licence server does not answer"),
    ("climate_ref_prefect.testing.providers.import_hang:provider", "not imported after 1 s"),
    ("climate_ref_prefect.testing.providers.import_crash:provider", "SIGSEGV"),
    ("climate_ref_prefect.testing.providers.import_exit:provider", "4"),
    ("tests.no_such_module:provider", "No module named"),
    ("climate_ref_prefect.testing.providers.contract_provider:SMALL", "not a DiagnosticProvider"),
]
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


class IsolationContract:
    """Executions know nothing of each other, and as little as possible of the coordinator."""

    def test_the_bytes_of_a_result_are_the_same_everywhere(self, shared: Driving, prepare: Prepare) -> None:
        directory, resources = prepare("writing")
        reference, _ = prepare("writing")
        shared.run(directory, resources)
        execute_in_process(reference)
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
        shutil.copy(contract_provider.__file__, directory / "mine.py")
        monkeypatch.chdir(directory)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", *filter(None, [os.environ.get("PYTHONPATH")])]))
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
        assert all(future.result(allowances.timeout_seconds).succeeded for future in futures)

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
        directory, resources = prepare(target="climate_ref_prefect.testing.providers.import_crash:provider")
        own.run(directory, resources)
        assert "asking the licence server" in (directory / "run.log").read_text(encoding="utf-8")

    def test_a_diagnostic_that_the_provider_does_not_have_is_the_providers_error(
        self, shared: Driving, prepare: Prepare
    ) -> None:
        outcome = shared.run(*prepare("nonexistent"))
        assert kind_of(outcome) is FailureKind.DIAGNOSTIC_ERROR
        assert "nonexistent" in message_of(outcome)

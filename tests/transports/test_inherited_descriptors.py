"""What a provider holds open once it is imported: forked executions find it as those of a new interpreter do."""

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import netCDF4
import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation, ProviderReference
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import living
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.provider_server_client import ProviderServer
from climate_ref_prefect.testing.executions import Prepare, define
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import Backend, Driving, kind_of, message_of
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.failing_system_calls import forking
from tests.providers_that_hold import DATA, ISOLATION, MANY, WHAT, WHEN

TARGET = "tests.providers_that_hold:provider"
VALUE = 250.0
ANSWER_SECONDS = 60.0
FORKED = [
    "netcdf",
    "netcdf3",
    "lazy-xarray",
    "archive",
    "lines",
    "unlinked",
    "directory",
    "two-numbers",
    "read-only-table",
    "devices",
    "second-output",
]
OPENED_BY_WARM_UP = [("netcdf", "warm_up"), ("lines", "warm_up")]
FRESH = {
    "log": "provider.log (descriptor 3, open for writing)",
    "table": "table.db (descriptor 3, open for reading and writing)",
    "mapped-file": "mapped (descriptor 4, open for reading and writing)",
    "shared-memory": "memory that is shared with forked processes",
    "connection": "(descriptor 4)",
    "pipe": "(descriptor 4)",
    "poll": "anon_inode:[eventpoll] (descriptor 3)",
    "thread": "thread 'answering'",
    "process": "process 'sleep'",
    "ended-process": "process 'sh'",
    "timer": "a real timer of `signal`",
    "locked-file": "one (descriptor 3), which is locked",
    "other-input": "standard stream 0, which has been replaced",
}
Holding = Callable[[str, str], None]


@pytest.fixture(scope="module")
def backend() -> Backend:
    """Return the transport whose children are looked at."""
    return Backend("local", lambda: LocalTransport(cpu=4), lambda: LocalTransport(cpu=1))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the provider opens; each holds the same number."""
    root = tmp_path_factory.mktemp("held")
    (root / "classic").mkdir()
    for directory, form in ((root, "NETCDF4"), (root / "classic", "NETCDF3_64BIT_OFFSET")):
        write_netcdf(directory / "mask.nc", form, 0.0)
        write_netcdf(directory / "observed.nc", form, VALUE)
    with zipfile.ZipFile(root / "table.zip", "w") as archive:
        archive.writestr("table", str(VALUE))
    with sqlite3.connect(root / "table.db") as table:
        table.execute("create table t (a)")
        table.execute("insert into t values (250)")
    table.close()
    (root / "lines").write_text("250\n" * 3)
    (root / "one").write_text("250.0")
    (root / "mapped").write_bytes(b"\xfa")
    return root


def write_netcdf(path: Path, form: str, value: float) -> None:
    """Write a file of one variable, large enough not to be read at once."""
    with netCDF4.Dataset(path, "w", format=form) as file:  # type: ignore[arg-type]
        file.createDimension("x", 50_000)
        variable = file.createVariable("ta", "f8", ("x",))
        variable.units = "K"
        variable[:] = value


@pytest.fixture
def holding(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holding:
    """Return a function that says what the provider is to hold open, and since when."""
    copy = tmp_path / "data"
    shutil.copytree(data, copy)

    def hold(what: str, when: str = "import") -> None:
        for name, value in ((WHAT, what), (WHEN, when), (DATA, str(copy))):
            monkeypatch.setenv(name, value)

    return hold


def run(driving: Driving, prepare: Prepare, number: int = 1, isolation: Isolation = "warm") -> list[tuple[float, bool]]:
    """Run executions at once; return the value of each, and whether it was forked."""
    executions = [prepare("held", target=TARGET, isolation=isolation) for _ in range(number)]
    outcomes = driving.run_all(executions)
    return [read(directory, outcome) for (directory, _), outcome in zip(executions, outcomes, strict=True)]


def read(directory: Path, outcome: ExecutionOutcome) -> tuple[float, bool]:
    """Return the value of an execution that has succeeded, and whether it was forked."""
    assert outcome.failure is None, outcome.failure
    assert (directory / "output" / "opened.txt").read_text() == "before\nafter\n"
    metrics = json.loads((directory / "output" / "metric.json").read_text())
    return metrics["RESULTS"]["CanESM5"]["mean"], (directory / "output" / "forked").read_text() == "True"


@pytest.mark.parametrize(("what", "when"), [*((what, "import") for what in FORKED), *OPENED_BY_WARM_UP])
def test_what_is_open_for_reading_is_found_in_each_child(
    own: Driving, prepare: Prepare, holding: Holding, what: str, when: str
) -> None:
    holding(what, when)
    assert run(own, prepare, 3) == [(VALUE, True)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("what", ["projections", "maps"])
def test_what_libraries_open_by_themselves_is_found_in_each_child(
    own: Driving, prepare: Prepare, holding: Holding, what: str
) -> None:
    holding(what, "import")
    ((value, forked),) = run(own, prepare, isolation="fresh")
    assert not forked
    assert run(own, prepare, 2) == [(value, True)] * 2


@pytest.mark.parametrize("what", FRESH)
def test_what_cannot_be_had_twice_is_had_by_new_interpreters(
    own: Driving, prepare: Prepare, holding: Holding, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    holding(what, "import")
    assert run(own, prepare, 2) == [(VALUE, False)] * 2
    (warning,) = warnings_in(caplog)
    assert TARGET in warning
    assert FRESH[what] in warning
    assert 'isolation="fresh"' in warning


def test_processes_of_the_import_end_with_the_server(holding: Holding) -> None:
    holding("process", "import")
    server = ProviderServer(ProviderReference(target=TARGET))
    try:
        server.wait_until_ready(ANSWER_SECONDS)
        (started,) = (int(words.partition("(")[2].rstrip(")")) for words in server.obstacles)
    finally:
        server.close()
    wait_until(lambda: not living([started]))


def test_a_new_interpreter_runs_where_a_fork_does(own: Driving, prepare: Prepare, holding: Holding) -> None:
    holding("elsewhere", "import")
    assert run(own, prepare) == [(VALUE, True)]
    assert run(own, prepare, isolation="fresh") == [(VALUE, False)]


def test_it_is_noticed_when_it_is_opened_to_size_an_execution(
    holding: Holding, caplog: pytest.LogCaptureFixture
) -> None:
    holding("log", "sizes")
    server = ProviderServer(ProviderReference(target=TARGET))
    try:
        server.wait_until_ready(ANSWER_SECONDS)
        assert not server.obstacles
        for _ in range(2):
            server.sizes([define("held")], ANSWER_SECONDS)
        assert "provider.log" in server.obstacles[0]
    finally:
        server.close()
    assert len(warnings_in(caplog)) == 1


def test_a_provider_that_declares_new_interpreters_causes_no_warning(
    own: Driving, prepare: Prepare, holding: Holding, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    holding("thread", "import")
    monkeypatch.setenv(ISOLATION, "fresh")
    assert run(own, prepare) == [(VALUE, False)]
    assert not warnings_in(caplog)


def test_the_second_output_leads_to_the_log_of_the_execution(own: Driving, prepare: Prepare, holding: Holding) -> None:
    holding("second-output", "import")
    directory, resources = prepare("held", target=TARGET)
    assert own.run(directory, resources).succeeded
    assert "said through the second output" in (directory / "run.log").read_text()


class TestLimits:
    """However many files may be open, executions run; where no process can be started, that counts against none."""

    @pytest.mark.parametrize(("limit", "isolation"), [(40, "warm"), (64, "fresh"), (20_000, "warm")])
    def test_under_any_limit(self, prepare: Prepare, holding: Holding, limit: int, isolation: Isolation) -> None:
        holding("lines", "import")
        assert run_under(limit, prepare, isolation) == (VALUE, isolation == "warm")

    @pytest.mark.parametrize(("forks", "files"), [(0, {"envelope.json"}), (1, {"envelope.json", "outcome.json"})])
    def test_without_room_for_a_process_nothing_is_counted(
        self, own: Driving, prepare: Prepare, monkeypatch: pytest.MonkeyPatch, forks: int, files: set[str]
    ) -> None:
        for name, value in forking(forks).items():
            monkeypatch.setenv(name, value)
        directory, resources = prepare("noop")
        outcome = own.run(directory, resources)
        assert kind_of(outcome) is FailureKind.UNAVAILABLE
        assert "ulimit -u" in message_of(outcome)
        assert {path.name for path in directory.glob("*e.json")} == files

    def test_with_more_open_files_than_select_can_count(self, prepare: Prepare, holding: Holding) -> None:
        holding("many", "import")
        assert run_under(4 * MANY, prepare, "warm") == (VALUE, True)


def run_under(limit: int, prepare: Prepare, isolation: Isolation) -> tuple[float, bool]:
    """Run an execution from a process that may open no more than `limit` files."""
    directory, _ = prepare("held", target=TARGET, isolation=isolation)
    command = [
        "sh",
        "-c",
        f'ulimit -n {limit} && exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "tests.execution.calling_process",
    ]
    called = subprocess.run([*command, str(directory)], capture_output=True, text=True, check=False, timeout=100)
    assert called.returncode == 0, called.stderr
    return read(directory, ExecutionOutcome.from_json(called.stdout))


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what has been warned of."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

"""Providers: how they are found and loaded, and what a diagnostic that is a command makes of exit codes."""

import importlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import CommandLineDiagnostic
from climate_ref_prefect.diagnostics.errors import (
    BadInputError,
    ClimateRefPrefectError,
    CommandFailedError,
    CommandKilledError,
    DiagnosticError,
    ProviderReferenceError,
    UnknownNameError,
)
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.provider import (
    DiagnosticProvider,
    find_provider,
    installed_providers,
    load_provider,
)
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint


class LineCount(CommandLineDiagnostic):
    """Counts lines with a command; the command is the shell's, so that it can end in any way."""

    slug = "line-count"
    name = "Counts lines"
    data = DataRequirement(group_by=("source_id",))
    resources = ResourceHint(memory_mb=100)

    def __init__(self, script: str = 'wc -l < "$1" > lines') -> None:
        self.script = script

    def command(self, definition: ExecutionDefinition, output_directory: Path) -> Sequence[str]:
        return ["sh", "-c", self.script, "sh", str(definition.datasets[0].files[0])]

    def collect(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        lines = int((output_directory / "lines").read_text())
        model = definition.selectors["source_id"]
        return ExecutionResult(metrics=MetricBundle.from_scalars(("source_id",), {(model,): lines}))


@pytest.fixture
def definition(tmp_path: Path) -> ExecutionDefinition:
    file = tmp_path / "with space; rm -rf.txt"
    file.write_text("one\ntwo\n")
    dataset = Dataset(instance_id="m", facets={"source_id": "m"}, files=(file,), fingerprint="1")
    return ExecutionDefinition(
        provider="tests",
        provider_version="1",
        diagnostic="line-count",
        diagnostic_version="1",
        key="m",
        selectors={"source_id": "m"},
        datasets=(dataset,),
    )


@pytest.fixture
def output(tmp_path: Path) -> Path:
    directory = tmp_path / "output"
    directory.mkdir()
    return directory


def test_a_command_runs_in_the_output_directory_and_is_collected(definition: ExecutionDefinition, output: Path) -> None:
    result = LineCount().run(definition, output)
    assert list(result.metrics.scalars()) == [({"source_id": "m"}, 2)]


@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ("exit 1", CommandFailedError, "1"),
        ("exit 127", CommandFailedError, "127"),
        ("kill -TERM $$", CommandFailedError, "-15"),
        ("exit 137", CommandKilledError, "137"),
        ("kill -KILL $$", CommandKilledError, "-9"),
    ],
)
def test_exit_codes(
    script: str, error: type[ClimateRefPrefectError], code: str, definition: ExecutionDefinition, output: Path
) -> None:
    with pytest.raises(error, match=rf"sh .*exit code {code}\b") as caught:
        LineCount(script).run(definition, output)
    # A failed command can never succeed as it stands. A killed one may.
    assert isinstance(caught.value, DiagnosticError) == (error is CommandFailedError)


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd", "/etc/passwd/x"])
def test_a_command_that_cannot_be_started_says_so(program: str, definition: ExecutionDefinition, output: Path) -> None:
    missing = LineCount()
    missing.command = lambda *_: [program]  # type: ignore[method-assign]
    with pytest.raises(CommandFailedError, match=f"{program} cannot be started.*PATH"):
        missing.run(definition, output)


def test_a_place_where_no_command_can_run_is_not_the_commands_fault(
    definition: ExecutionDefinition, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        LineCount().run(definition, tmp_path / "gone")


def test_a_command_may_have_an_environment_of_its_own(
    definition: ExecutionDefinition, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINES_FOUND", "7")
    inheriting = LineCount('echo "${LINES_FOUND:-0}" > lines')
    assert inheriting.run(definition, output).metrics.results == {"m": 7}
    monkeypatch.setattr(LineCount, "environment", lambda _self, _definition: {"PATH": "/usr/bin:/bin"})
    assert inheriting.run(definition, output).metrics.results == {"m": 0}


def test_resources_are_those_declared_unless_overridden(definition: ExecutionDefinition) -> None:
    assert LineCount().resources_for(definition) == ResourceHint(memory_mb=100)


def test_a_provider_describes_itself() -> None:
    provider = DiagnosticProvider("tests", "Tests", "1.0", [LineCount()], isolation="fresh")
    described = provider.describe()
    assert (described.slug, described.version, described.isolation) == ("tests", "1.0", "fresh")
    assert [(one.slug, one.resources) for one in described.diagnostics] == [("line-count", ResourceHint(memory_mb=100))]
    assert provider.diagnostic("line-count") is provider.diagnostics["line-count"]
    with pytest.raises(UnknownNameError, match=r"no diagnostic 'tests/lines'\. Valid: line-count\."):
        provider.diagnostic("lines")


def test_a_provider_declares_a_slug_once() -> None:
    with pytest.raises(BadInputError, match="'line-count' twice"):
        DiagnosticProvider("tests", "Tests", "1.0", [LineCount(), LineCount()])


def test_an_unknown_provider_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no provider 'dmeo'\. Valid: .*demo") as caught:
        find_provider("dmeo")
    assert caught.value.valid == tuple(sorted(installed_providers()))


def test_a_provider_is_found_by_entry_point_or_reference() -> None:
    assert find_provider("demo").target == "climate_ref_prefect.diagnostics.demo.provider:provider"
    assert find_provider("some.module:thing") == ProviderReference(target="some.module:thing")


@pytest.mark.parametrize("name", ["some module:thing", ":", "a:b:c", "/home/me/provider.py:provider"])
def test_what_is_no_reference_is_refused_in_words(name: str) -> None:
    with pytest.raises(ProviderReferenceError, match=r"not of the form package\.module:attribute"):
        find_provider(name)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a module with a provider and things that are none."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "a_provider_module.py").write_text(
        "from climate_ref_prefect.diagnostics.provider import DiagnosticProvider\n"
        "provider = DiagnosticProvider('here', 'Here', '1', [])\n"
        "number = 5\n"
    )
    (tmp_path / "a_broken_module.py").write_text("1 / 0\n")
    importlib.invalidate_caches()
    yield "a_provider_module"
    sys.modules.pop("a_provider_module", None)


def test_a_provider_is_loaded(module: str) -> None:
    assert load_provider(ProviderReference(target=f"{module}:provider")).slug == "here"


@pytest.mark.parametrize(
    ("attribute", "found"), [("number", "5"), ("missing", "None"), ("DiagnosticProvider", "class")]
)
def test_what_is_no_provider_is_refused(module: str, attribute: str, found: str) -> None:
    with pytest.raises(ProviderReferenceError, match=rf"{module}:{attribute} is .*{found}.*, not a DiagnosticProvider"):
        load_provider(ProviderReference(target=f"{module}:{attribute}"))


def test_what_an_import_raises_passes_through(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        load_provider(ProviderReference(target=f"{module}.not_there:provider"))
    with pytest.raises(ZeroDivisionError):
        load_provider(ProviderReference(target="a_broken_module:provider"))


HEAVY = ("numpy", "xarray", "matplotlib", "netCDF4", "prefect", "sqlalchemy", "dask", "distributed", "yaml")


@pytest.mark.parametrize("name", ["provider", "data_catalogue"])
def test_the_ground_floor_imports_nothing_heavy(name: str) -> None:
    program = f"import sys, climate_ref_prefect.diagnostics.{name}; print(*set(sys.modules) & set({HEAVY!r}))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []

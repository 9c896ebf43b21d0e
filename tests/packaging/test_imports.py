"""What importing costs, and where it is refused."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.packaging.checkout import PACKAGE

HEAVY = {"prefect", "sqlalchemy", "alembic", "dask", "distributed", "numpy", "xarray"}


def run(program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], cwd=directory, check=False, capture_output=True, text=True)


LIGHT = (
    "execution.worker.execute",
    "execution.worker.provider_server",
    "transports.port",
    "store.port",
    "store.memory_recorder",
)


@pytest.mark.parametrize("module", LIGHT)
def test_worker_and_ports_import_nothing_heavy(module: str, tmp_path: Path) -> None:
    ended = run(f"import sys, climate_ref_prefect.{module}; print(*sys.modules)", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {name.partition(".")[0] for name in ended.stdout.split()} & HEAVY == set()


def test_help_of_no_command_imports_anything_heavy(tmp_path: Path) -> None:
    program = f"""
import contextlib, os, sys
import typer
from climate_ref_prefect.flows.cli.main import app

def commands(group, path=()):
    yield path
    for name, one in getattr(group, "commands", {{}}).items():
        yield from commands(one, (*path, name))

group = typer.main.get_command(app)
for path in list(commands(group)):
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        group([*path, "--help"], standalone_mode=False)
    print(*path, *sorted({HEAVY!r} & set(sys.modules)), sep=" ")
"""
    ended = run(program, tmp_path)
    assert ended.returncode == 0, ended.stderr
    shown = [line.split() for line in ended.stdout.splitlines()]
    assert ["solve"] in shown
    assert ["db", "upgrade"] in shown
    assert [line for line in shown if HEAVY & set(line)] == []


def test_windows_is_refused_with_a_message(tmp_path: Path) -> None:
    ended = run("import sys; sys.platform = 'win32'; import climate_ref_prefect", tmp_path)
    assert ended.returncode != 0
    assert "ImportError: climate-ref-prefect does not run on Windows" in ended.stderr


def test_version_is_that_of_the_distribution(tmp_path: Path) -> None:
    program = """
from importlib.metadata import version
from climate_ref_prefect import __version__
print(version("climate-ref-prefect") == __version__)
"""
    assert run(program, tmp_path).stdout == "True\n"


def test_listing_the_transports_imports_nothing_heavy(tmp_path: Path) -> None:
    program = """
import sys
from climate_ref_prefect.transports.registry import usable_transports
assert {"local", "pbs", "slurm"} <= usable_transports().keys()
print(*sys.modules)
"""
    ended = run(program, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {name.partition(".")[0] for name in ended.stdout.split()} & HEAVY == set()


def circle_of_imports(package: str) -> list[str]:
    """Return modules of which each imports the next and the last the first, inside a function or for types, too."""
    graph = grimp.build_graph(package, cache_dir=None)
    imported = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """An import inside a function hides a circle from the interpreter, not from readers."""
    assert circle_of_imports(PACKAGE) == []


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    directory = tmp_path / "package_with_imports"
    directory.mkdir()
    (directory / "__init__.py").touch()
    (directory / "first.py").write_text("from package_with_imports.second import value")
    return directory


@pytest.mark.parametrize(
    "back",
    [
        "def function():\n    import package_with_imports.first",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from package_with_imports.first import value",
    ],
)
def test_a_circle_is_found_however_it_is_hidden(package: Path, back: str) -> None:
    (package / "second.py").write_text("value = 1")
    assert circle_of_imports(package.name) == []
    (package / "second.py").write_text(back)
    first, second = f"{package.name}.first", f"{package.name}.second"
    assert circle_of_imports(package.name) in ([first, second, first], [second, first, second])

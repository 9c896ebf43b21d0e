"""What importing costs, and where it is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_windows_is_refused_in_words(tmp_path: Path) -> None:
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

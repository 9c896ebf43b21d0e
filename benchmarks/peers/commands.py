"""The commands that run tasks on each side, with the environment and the files that they need."""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.environments import python_of
from benchmarks.overhead.ours import make_tree
from benchmarks.overhead.real_work import monthly_historical_ta, sample_data_root
from benchmarks.peers.tasks import make_tasks
from benchmarks.process_cost import Cost, ProgramFailed, run_measured

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
_PROVIDERS: Final = "benchmarks.overhead.ours_provider:"
_QUIET: Final = {"PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def run_ours(_: str, place: Path, work: str, count: int) -> Cost:
    """Solve with this project; it starts a Prefect server, and ends it once that has recorded every task run."""
    data = place / f"{work}-{count}"
    if not data.exists():
        make_tree(data, count) if work == "noop" else _link_models(data, count)
    environment = {
        "CLIMATE_REF_PREFECT_HOME": str(place / "home"),
        "CLIMATE_REF_PREFECT_SERVER_LIFETIME": "PT0S",
        "PREFECT_HOME": str(place / "prefect"),
        "PYTHONPATH": str(ROOT),
        **_QUIET,
    }
    program = "from climate_ref_prefect.flows.cli.main import main; main()"
    options = ["--data", str(data), "--provider", f"{_PROVIDERS}{work}", "--cpu", "2", "--rerun", "all"]
    return _run([sys.executable, "-P", "-c", program, "solve", *options], place, environment, f"{count} succeeded, 0")


def run_climate_ref(executor: str, place: Path, work: str, count: int) -> Cost:
    """Run executions by one of climate-ref's own executors, on a new database."""
    root = _empty(place / "climate-ref")
    environment = {
        "REF_CONFIGURATION": str(root),
        "REF_DATASET_CACHE_DIR": str(root / "cache"),
        "REF_IGNORE_DATASETS_URL": "",
        **_of_peers("climate-ref", "climate_ref_requirements.txt"),
    }
    words = ["-m", "benchmarks.peers.climate_ref_executors", "--executor", executor, "--work", work]
    return _run(["python", *words, "--count", str(count)], place, environment, f"{count} succeeded")


def run_snakemake(_: str, place: Path, work: str, count: int) -> Cost:
    """Run a workflow of one rule, whose jobs have a script; it counts what they have written in the end."""
    root = _empty(place / "workflow")
    (root / "tasks.json").write_text(json.dumps(make_tasks(work, count, root / "out")), encoding="utf-8")
    options = ["--quiet", "--cores", "2", "--snakefile", str(HERE / "Snakefile"), "--config", "tasks=tasks.json"]
    environment = {"XDG_CACHE_HOME": str(place / "cache"), **_of_libraries()}
    return _run(["python", "-m", "snakemake", *options], root, environment, f"{count} succeeded")


def run_forks(_: str, place: Path, work: str, count: int) -> Cost:
    """Run tasks in a bare pool of forks, in the environment of this project."""
    command = [sys.executable, "-m", "benchmarks.peers.programs", "forks", work, str(count)]
    return _run(command, place, {"PYTHONPATH": str(ROOT)}, f"{count} succeeded")


def run_library(name: str, place: Path, work: str, count: int) -> Cost:
    """Run tasks by one of the libraries in `programs`."""
    environment = {"PREFECT_HOME": str(place / "prefect"), **_QUIET, **_of_libraries()}
    command = ["python", "-m", "benchmarks.peers.programs", name, work, str(count)]
    return _run(command, place, environment, f"{count} succeeded")


def python_of_libraries() -> Path:
    """Return the interpreter of the environment that Snakemake and the libraries have in common."""
    return python_of("libraries", HERE / "libraries_requirements.txt")


def _run(command: Sequence[str], place: Path, environment: Mapping[str, str], expected: str) -> Cost:
    """Measure a program, the first word of which is looked for where its own environment says."""
    found = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    cost = run_measured([found, *command[1:]], place, environment)
    if not re.search(rf"\b{expected}\b", " ".join(cost.output.split())):
        raise ProgramFailed(command, f"did not say {expected!r}", cost.output + cost.errors)
    return cost


def _of_libraries() -> dict[str, str]:
    return _of_peers("libraries", "libraries_requirements.txt")


def _of_peers(name: str, requirements: str) -> dict[str, str]:
    """Return the variables with which peers find the programs of their own environment, and this checkout."""
    programs = python_of(name, HERE / requirements).parent
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def _empty(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _link_models(data: Path, count: int) -> None:
    """Make a tree with the files of some models of the sample data."""
    for files in list(monthly_historical_ta(sample_data_root()).values())[:count]:
        for file in files:
            link = data / "CMIP6" / file.relative_to(sample_data_root())
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)

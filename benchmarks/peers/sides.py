"""How each side runs a number of tasks."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import python_of
from benchmarks.overhead.ours import make_tree
from benchmarks.peers.tasks import make_tasks
from benchmarks.process_cost import Cost, run_measured

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REAL_WORK_GROUPS = 40
"""The first models of the sample data, which the real work takes; a measurement has no more tasks."""
_PROVIDERS = "benchmarks.overhead.ours_provider:"
_QUIET = {
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
}


@dataclass(frozen=True)
class Side:
    """One program, and what an execution has there."""

    name: str
    isolated: bool
    retried: bool
    recorded: str
    works: Sequence[str] = ("noop", "real")


OURS = Side("climate-ref-prefect", isolated=True, retried=True, recorded="every attempt, results, values")
SIDES = (
    Side("forks", isolated=True, retried=False, recorded="nothing"),
    OURS,
    Side("climate-ref local", isolated=True, retried=False, recorded="results, values"),
    Side("climate-ref hpc", isolated=False, retried=True, recorded="results, values"),
    Side("snakemake", isolated=True, retried=True, recorded="that it ran"),
    Side("submitit", isolated=True, retried=False, recorded="what it returned"),
    Side("parsl", isolated=False, retried=True, recorded="nothing"),
    Side("dask", isolated=False, retried=True, recorded="nothing"),
    Side("prefect-threads", isolated=False, retried=True, recorded="states", works=("noop",)),
    Side("prefect-processes", isolated=False, retried=True, recorded="states"),
)
"""netCDF does not bear threads, so that the real work cannot be run by `prefect-threads`."""


class Bench:
    """
    Runs the sides, each in a directory of its own that it keeps from run to run.

    Parameters
    ----------
    directory
        Empty; for all that the sides write.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, side: Side, work: str, count: int) -> Cost:
        """Have a side run tasks; ends the program unless all of them succeed."""
        place = self._directory / side.name.replace(" ", "-")
        place.mkdir(exist_ok=True)
        if side is OURS:
            return self._ours(place, work, count)
        if side.name == "snakemake":
            return self._snakemake(place, work, count)
        if side.name.startswith("climate-ref "):
            return self._climate_ref(place, side.name.partition(" ")[2], work, count)
        environment = {"PREFECT_HOME": str(place / "prefect"), **_of_peers(), **_QUIET}
        command = [_python(), "-m", "benchmarks.peers.programs", side.name, work, str(count)]
        cost = run_measured(command, place, environment)
        _check(cost.output.split()[-1] == str(count), command, cost)
        return cost

    def _ours(self, place: Path, work: str, count: int) -> Cost:
        data = place / f"{work}-{count}"
        if not data.exists():
            make_tree(data, count) if work == "noop" else _link_models(data, count)
        environment = {
            "CLIMATE_REF_PREFECT_HOME": str(place / "home"),
            "PREFECT_HOME": str(place / "prefect"),
            "PYTHONPATH": str(ROOT),
            **_QUIET,
        }
        program = "from climate_ref_prefect.flows.cli.main import main; main()"
        options = ["--data", str(data), "--provider", f"{_PROVIDERS}{work}", "--cpu", "2", "--rerun", "all"]
        command = [sys.executable, "-P", "-c", program, "solve", *options]
        cost = run_measured(command, place, environment)
        _check(f"{count} succeeded, 0 failed" in cost.output, command, cost)
        return cost

    def _snakemake(self, place: Path, work: str, count: int) -> Cost:
        shutil.rmtree(place)
        place.mkdir()
        (place / "tasks.json").write_text(json.dumps(make_tasks(work, count, place / "out")), encoding="utf-8")
        options = ["--quiet", "--cores", "2", "--snakefile", str(HERE / "Snakefile"), "--config", "tasks=tasks.json"]
        command = [_python(), "-m", "snakemake", *options]
        cost = run_measured(command, place, {"XDG_CACHE_HOME": str(place / "cache"), **_of_peers()})
        _check(len(list((place / "done").iterdir())) == count, command, cost)
        return cost

    def _climate_ref(self, place: Path, executor: str, work: str, count: int) -> Cost:
        python = str(python_of("peers", HERE.parent / "overhead" / "peers_requirements.txt"))
        program = str(HERE.parent / "overhead" / "peers.py")
        command = [python, program, "--executor", executor, "--work", work, "--count", str(count)]
        return run_measured(command, place)  # it ends with an error unless all succeed


def _python() -> str:
    return str(python_of("libraries", HERE / "peers_requirements.txt"))


def _of_peers() -> dict[str, str]:
    """Return the variables with which the peers find this folder, and programs of their own environment."""
    path = f"{Path(_python()).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT)}


def _link_models(data: Path, count: int) -> None:
    """Make a tree with the files of some models of the sample data."""
    from benchmarks.overhead.real_work import monthly_historical_ta, sample_data_root  # noqa: PLC0415

    for files in list(monthly_historical_ta(sample_data_root()).values())[:count]:
        for file in files:
            link = data / "CMIP6" / file.relative_to(sample_data_root())
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)


def _check(holds: bool, command: Sequence[str], cost: Cost) -> None:  # noqa: FBT001
    if not holds:
        raise SystemExit(f"{' '.join(command)} did not finish all tasks:\n{cost.output[-2000:]}")

"""
What planning costs now, and what it cost at an earlier commit, in turns.

    .venv/bin/python -m benchmarks.planning            # everything, about 20 minutes
    .venv/bin/python -m benchmarks.planning --only catalogue --alternations 3

- `catalogue`: the catalogue of 100,000 files, at the first look and at the second.
- `up-to-date`: `solve` where all of 10,000 groups are up to date.
- `ensemble`: `plan` of 800 groups, each with the data sets of all of them.

What counts is the processor time of all processes (of the catalogue: without imports), and the memory of the largest.
The earlier commit is checked out below `.cache/benchmarks/` and runs on the packages that are installed here.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.overhead.against import ROOT, check_out
from benchmarks.planning.measured import PROVIDER

_PROGRAM = Path(__file__).with_name("measured.py")
_ENSEMBLE = "benchmarks.planning.provider:ensemble"
_DRS = "CMIP6/CMIP/NONE/{model}/historical/r1i1p1f1/Amon/{variable}/gn/v20260101"
_FILE = "{variable}_Amon_{model}_historical_r1i1p1f1_gn_{decade}01-{decade}12.nc"
_VARIABLES_OF_A_MODEL = 20
_SETTLING_SECONDS = 31.0
"""A directory that has changed within the last 30 s is not kept in the catalogue file."""

_LIMITS = {"catalogue, first look": 0.55, "catalogue, second look": 0.2, "up to date": 0.25}


@dataclass(frozen=True)
class Measured:
    """One measurement of one version."""

    what: str
    cpu_seconds: float
    peak_mb: float


class Version:
    """The checkout of one version, with a state directory for each measurement."""

    def __init__(self, checkout: Path, homes: Path) -> None:
        self._checkout = checkout
        self._homes = homes

    def run(self, what: str, home: str, *arguments: str) -> tuple[Measured, str]:
        """Run the program for this version, and return what all its processes took and what it printed."""
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self._checkout / 'src'}{os.pathsep}{ROOT}",
            "CLIMATE_REF_PREFECT_HOME": str(self._homes / home),
            "PREFECT_HOME": str(self._homes / "prefect"),
        }
        with tempfile.TemporaryFile("w+") as printed:
            command = [sys.executable, "-P", str(_PROGRAM), *arguments]
            program = subprocess.Popen(command, env=environment, cwd=self._homes, stdout=printed)
            _, status, used = os.wait4(program.pid, 0)  # With those of its children that it has waited for.
            program.returncode = os.waitstatus_to_exitcode(status)
            if program.returncode:
                raise SystemExit(f"{arguments} of {self._checkout} ended with code {program.returncode}.")
            printed.seek(0)
            return Measured(what, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), printed.read()

    def look(self, what: str, home: str, data: Path) -> Measured:
        """Read the catalogue in a process of its own."""
        measured, printed = self.run(what, home, "catalogue", str(data))
        return Measured(what, json.loads(printed.splitlines()[-1])["cpu_seconds"], measured.peak_mb)


def make_tree(root: Path, datasets: int, files: int) -> Path:
    """Make a CMIP6 tree of empty files, 20 variables to a model if there are more data sets than models may be."""
    variables = _VARIABLES_OF_A_MODEL if datasets * files >= 100_000 else 1  # noqa: PLR2004
    for number in range(datasets):
        names = {"model": f"MODEL{number // variables:05d}", "variable": f"var{number % variables:02d}"}
        directory = root / _DRS.format(**names)
        directory.mkdir(parents=True)
        for decade in range(files):
            (directory / _FILE.format(**names, decade=1850 + 10 * decade)).touch()
    time.sleep(_SETTLING_SECONDS)
    return root


def measure_catalogue(version: Version, turn: int, data: Path) -> Iterator[Measured]:
    """Look twice with a new state directory."""
    yield version.look("catalogue, first look", f"look{turn}", data)
    yield version.look("catalogue, second look", f"look{turn}", data)


def measure_up_to_date(version: Version, turn: int, data: Path) -> Iterator[Measured]:
    """Solve where every group has succeeded; the first time they are recorded as successes."""
    solve = ("up to date", "up-to-date", "solve", str(data), "--provider", PROVIDER)
    if turn == 0:
        version.run("", "up-to-date", "settle", str(data))
        version.run(*solve)  # The first one may have to make a server's database.
    yield version.run(*solve)[0]


def measure_ensemble(version: Version, turn: int, data: Path) -> Iterator[Measured]:
    """Plan groups that have all data sets in common."""
    yield version.run("ensemble", f"ensemble{turn}", "plan", str(data), "--provider", _ENSEMBLE)[0]


MEASUREMENTS = {
    "catalogue": measure_catalogue,
    "up-to-date": measure_up_to_date,
    "ensemble": measure_ensemble,
}


def table(commit: str, now: Sequence[Measured], before: Sequence[Measured]) -> Table:
    """Return medians of both versions, and the median of the ratios of turns."""
    shown = Table("", "CPU s", f"CPU s, {commit}", "ratio", "wanted", "MB", f"MB, {commit}", title="Planning, medians")
    for what in dict.fromkeys(one.what for one in now):
        pairs = [(a, b) for a, b in zip(now, before, strict=True) if a.what == what]
        ratios = [a.cpu_seconds / b.cpu_seconds for a, b in pairs]
        cpu = [f"{statistics.median(pair[side].cpu_seconds for pair in pairs):.2f}" for side in (0, 1)]
        peaks = [f"{statistics.median(pair[side].peak_mb for pair in pairs):.0f}" for side in (0, 1)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        shown.add_row(what, *cpu, spread, f"{_LIMITS[what]:.2f}" if what in _LIMITS else "", *peaks)
    return shown


def main() -> None:
    """Measure what the command line chooses, and print a table."""
    parser = argparse.ArgumentParser(description="Measure planning against an earlier commit.")
    parser.add_argument("--against", metavar="COMMIT", default="737fb9b")
    parser.add_argument("--only", choices=sorted(MEASUREMENTS), action="append")
    parser.add_argument("--alternations", type=int, default=3, help="how often each is measured")
    parser.add_argument("--files", type=int, default=100_000, help="of the catalogue")
    parser.add_argument("--files-each", type=int, default=1, help="of one data set of the catalogue")
    parser.add_argument("--groups", type=int, default=10_000, help="that are up to date")
    parser.add_argument("--ensemble", type=int, default=800, help="groups that share an ensemble")
    options = parser.parse_args()
    sizes = {
        "catalogue": (options.files // options.files_each, options.files_each),
        "up-to-date": (options.groups, 1),
        "ensemble": (options.ensemble, 1),
    }
    checkout = check_out(options.against)
    now: list[Measured] = []
    before: list[Measured] = []
    for name in options.only or MEASUREMENTS:
        with tempfile.TemporaryDirectory() as directory:
            data = make_tree(Path(directory) / "data", *sizes[name])
            versions: list[tuple[Version, list[Measured]]] = []
            for place, found in ((ROOT, now), (checkout, before)):
                homes = Path(directory) / f"homes{len(versions)}"
                homes.mkdir()
                versions.append((Version(place, homes), found))
            for turn in range(options.alternations):
                for version, found in versions:
                    found.extend(MEASUREMENTS[name](version, turn, data))
                print(json.dumps([name, turn, [vars(found[-1]) for _, found in versions]]), flush=True)
    Console(width=140).print(table(options.against, now, before))


if __name__ == "__main__":
    main()

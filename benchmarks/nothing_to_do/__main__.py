"""
What it costs to learn that nothing is to run, where every group has succeeded before: `solve` and `snakemake -n`.

    .venv/bin/python -m benchmarks.nothing_to_do                                   # 1 and 1,000 groups, ten minutes
    .venv/bin/python -m benchmarks.nothing_to_do --groups 1 100
    .venv/bin/python -m benchmarks.nothing_to_do --groups 1000 --against COMMIT    # instead of Snakemake

Both are measured in turns, from a shell's view: the whole program, the processor time of all its processes. Beforehand
each runs all groups once. The workflow of Snakemake has one rule, a file from a file; the provider of this project has
one diagnostic that imports nothing. The rule's files and the data sets are as many.

Snakemake needs Python 3.12 or newer and an environment of its own, which the first run makes below `.cache/`; so does
the earlier commit.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from benchmarks.overhead.against import check_out, environment_of
from benchmarks.overhead.ours import make_tree
from benchmarks.peers.commands import python_of_libraries
from benchmarks.process_cost import Cost, ProgramFailed, run_measured

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROUNDS = 5
Measured = dict[str, Any]


class Program(Protocol):
    """One that runs what is not up to date."""

    name: str

    def run_all(self) -> None:
        """Run every group."""

    def ask(self) -> Cost:
        """Have it find that nothing is to run; raises `ProgramFailed` where it finds otherwise."""


class Ours:
    """
    The command `climate-ref-prefect solve` of a checkout.

    Parameters
    ----------
    name
        For the table.
    python
        Interpreter of the environment.
    checkout
        Where the sources lie.
    directory
        For the data and the state directory.
    groups
        How many groups the data make.
    """

    def __init__(self, name: str, python: str, checkout: Path, directory: Path, groups: int) -> None:
        self.name = name
        self._groups = groups
        self._directory = directory
        data = make_tree(directory / "data", groups)
        program = "from climate_ref_prefect.flows.cli.main import main; main()"
        if not (checkout / "flows" / "cli" / "main.py").exists():  # where it was earlier
            program = program.replace(".cli.main", ".command")
        provider = "benchmarks.overhead.ours_provider:noop"
        self._command = [python, "-P", "-c", program, "solve", "--data", str(data), "--provider", provider]
        self._environment = {
            "CLIMATE_REF_PREFECT_HOME": str(directory / "home"),
            "PREFECT_HOME": str(directory / "prefect"),
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PYTHONPATH": f"{checkout / 'src'}:{checkout}",
        }

    def run_all(self) -> None:
        """Run every group."""
        self._run(f"{self._groups} succeeded, 0 failed")

    def ask(self) -> Cost:
        """Solve again."""
        return self._run(f"{self._groups} groups have succeeded on these inputs before")

    def _run(self, expected: str) -> Cost:
        cost = run_measured(self._command, self._directory, self._environment)
        if expected not in " ".join(cost.output.split()):
            raise ProgramFailed(self._command, f"did not say {expected!r}", cost.output)
        return cost


class Snakemake:
    """
    The command `snakemake -n`.

    Parameters
    ----------
    directory
        For its files.
    groups
        How many jobs the workflow has.
    """

    name = "snakemake -n"

    def __init__(self, directory: Path, groups: int) -> None:
        self._directory = directory
        (directory / "data").mkdir()
        for number in range(groups):
            (directory / "data" / str(number)).touch()
        python = str(python_of_libraries())
        options = ["--snakefile", str(HERE / "Snakefile"), "--cores", "2", "--config", f"groups={groups}"]
        self._command = [python, "-m", "snakemake", *options]
        self._environment = {"XDG_CACHE_HOME": str(directory / "cache")}

    def run_all(self) -> None:
        """Run every job."""
        run_measured([*self._command, "--quiet"], self._directory, self._environment)

    def ask(self) -> Cost:
        """Have it list what it would run."""
        cost = run_measured([*self._command, "--dry-run"], self._directory, self._environment)
        if "Nothing to be done" not in cost.output + cost.errors:
            raise ProgramFailed(self._command, "did not find that nothing is to run", cost.output + cost.errors)
        return cost


def programs(directory: Path, groups: int, against: str | None) -> tuple[Program, Program]:
    """Return this project, and what it is compared with."""
    own, others = directory / "own", directory / "other"
    for place in (own, others):
        place.mkdir(parents=True)
    ours = Ours("solve", sys.executable, ROOT, own, groups)
    if against is None:
        return ours, Snakemake(others, groups)
    checkout = check_out(against)
    return ours, Ours(f"solve at {against}", str(environment_of(checkout)), checkout, others, groups)


def measure(groups: int, pair: tuple[Program, Program], rounds: int) -> list[Measured]:
    """Run all groups by each program, then ask each in turns."""
    for program in pair:
        program.run_all()
    rows = []
    for number in range(rounds):
        for program in pair:
            cost = program.ask()
            row = {"groups": groups, "round": number + 1, "program": program.name}
            rows.append({**row, "wall_seconds": cost.wall_seconds, "cpu_seconds": cost.cpu_seconds})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def table(rows: Sequence[Measured]) -> Table:
    """Return the medians, with the medians of the ratios, round by round."""
    shown = Table("groups", "program", "wall s", "CPU s", "ratio, wall", "ratio, CPU", title="Nothing to do, medians")
    for groups in dict.fromkeys(row["groups"] for row in rows):
        of_these = [row for row in rows if row["groups"] == groups]
        ours, others = (
            [row for row in of_these if row["program"] == name]
            for name in dict.fromkeys(row["program"] for row in of_these)
        )
        for own in (ours, others):
            figures = [f"{statistics.median(row[name] for row in own):.2f}" for name in ("wall_seconds", "cpu_seconds")]
            ratios = [_ratio(ours, others, name) for name in ("wall_seconds", "cpu_seconds")] if own is ours else []
            shown.add_row(str(groups), own[0]["program"], *figures, *ratios)
    return shown


def _ratio(ours: Sequence[Measured], others: Sequence[Measured], name: str) -> str:
    ratios = [one[name] / other[name] for one, other in zip(ours, others, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="Compare what it costs to learn that nothing is to run.")
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--against", metavar="COMMIT", help="compare with an earlier commit instead of Snakemake")
    options = parser.parse_args()
    rows = []
    for groups in options.groups:
        with tempfile.TemporaryDirectory() as directory:
            pair = programs(Path(directory), groups, options.against)
            rows += measure(groups, pair, options.rounds)
    Console(width=120).print(table(rows))


if __name__ == "__main__":
    main()

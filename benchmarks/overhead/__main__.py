"""
What an execution costs beside the diagnostic itself: this project and climate-ref's own executors, in one run.

    .venv/bin/python -m benchmarks.overhead            # everything, about 15 minutes
    .venv/bin/python -m benchmarks.overhead --quick    # no-ops, fewer of them, without the run of 2,000
    .venv/bin/python -m benchmarks.overhead --against COMMIT    # this project alone, against an earlier commit
    .venv/bin/python -m benchmarks.overhead --forks    # half a second of real work, against a bare pool of forks

What is quick is measured three times in turns, and the median counts: a shared machine is not equally fast from one
minute to the next.

The peers need Python 3.12 or newer and an environment of their own, which the first run makes below `.cache/`.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environments import python_of
from benchmarks.overhead.against import compare, compare_with_forks

HERE = Path(__file__).resolve().parent
ROUNDS = 3
Measured = dict[str, Any]


def run(command: Sequence[str]) -> Measured:
    """Run one measurement and return the JSON that it printed last."""
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, encoding="utf-8", cwd=HERE.parents[1])
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {ended.returncode}.")
    measured: Measured = json.loads(ended.stdout.strip().splitlines()[-1])
    return measured


def ours(work: str, count: int) -> Measured:
    """Measure this project."""
    return run([sys.executable, "-m", "benchmarks.overhead.ours", "--work", work, "--count", str(count)])


def peer(executor: str, work: str, count: int) -> Measured:
    """Measure one of climate-ref's executors."""
    script = str(HERE / "peers.py")
    python = python_of("peers", HERE / "peers_requirements.txt")
    return run([str(python), script, "--executor", executor, "--work", work, "--count", str(count)])


def measurements(*, quick: bool) -> Iterator[Measured]:
    """Yield every measurement as soon as it is made."""
    few, many = (20, 60) if quick else (60, 200)
    for _ in range(ROUNDS):
        yield ours("noop", many)
        yield peer("hpc", "noop", many)
        yield peer("synchronous", "noop", few)
    yield peer("local", "noop", few)
    if not quick:
        yield ours("real", 0)
        yield from (peer(executor, "real", 40) for executor in ("hpc", "synchronous", "local"))
        yield ours("noop", 2000)


def medians(rows: Sequence[Measured]) -> list[Measured]:
    """Return of what was measured several times the one in the middle."""
    same: dict[tuple[object, ...], list[Measured]] = {}
    for row in rows:
        same.setdefault((row["executor"], row["work"], row["count"]), []).append(row)
    return [sorted(found, key=lambda row: float(row["ms_per_execution"]))[len(found) // 2] for found in same.values()]


def table(rows: Sequence[Measured]) -> Table:
    """Return the measurements, with the ratio to the first of the same work."""
    columns = ("executor", "work", "executions", "ms each", "ours / this", "isolation", "then recorded in", "peak MB")
    shown = Table(*columns, title="Cost per execution, 2 workers")
    base = {row["work"]: row["ms_per_execution"] for row in reversed(rows) if "task_runs" in row}
    for row in rows:
        ratio = base[row["work"]] / row["ms_per_execution"]
        shown.add_row(
            row["executor"],
            row["work"],
            f"{row['succeeded']} of {row['count']}",
            f"{row['ms_per_execution']:.1f}",
            f"1/{1 / ratio:.1f}" if ratio < 1 else f"{ratio:.2f}",
            row["isolation"],
            f"{row['recorded_seconds']} s, {row['task_runs_recorded']} of {row['task_runs']}"
            if "task_runs" in row
            else "-",
            str(row.get("coordinator_peak_mb", "-")),
        )
    return shown


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="Compare the cost per execution.")
    parser.add_argument("--quick", action="store_true", help="fewer no-ops, and nothing else")
    parser.add_argument("--against", metavar="COMMIT", help="compare with an earlier commit of this project instead")
    parser.add_argument("--forks", action="store_true", help="compare real work with a bare pool of forks instead")
    parser.add_argument("--alternations", type=int, default=10, help="with either: how often each is measured")
    parser.add_argument("--count", type=int, default=200, help="with --against: no-ops of each measurement")
    parser.add_argument("--same-packages", action="store_true", help="with --against: both on the packages of today")
    parser.add_argument("--side-by-side", action="store_true", help="with either: both at the same time")
    options = parser.parse_args()
    if options.forks:
        compare_with_forks(options.alternations, side_by_side=options.side_by_side)
        return
    if options.against:
        compare(
            options.against,
            options.alternations,
            options.count,
            same_packages=options.same_packages,
            side_by_side=options.side_by_side,
        )
        return
    rows = []
    for measured in measurements(quick=options.quick):
        print(json.dumps(measured), flush=True)
        rows.append(measured)
    Console(width=140).print(table(medians(rows)))


if __name__ == "__main__":
    main()

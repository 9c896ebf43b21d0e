"""
What an execution costs, and what a start costs, beside peers, in turns.

    .venv/bin/python -m benchmarks.peers                # everything, three rounds: about an hour
    .venv/bin/python -m benchmarks.peers --quick        # one round, fewer tasks
    .venv/bin/python -m benchmarks.peers --work real --only climate-ref-prefect

Each side runs its tasks on two workers, once few of them and once many: the difference, divided by the number of tasks
that it has more, is what one costs, whatever a start costs. Processor time is that of all processes, as the kernel
counts it for those that have ended. Every side has run once before, so that its home is a used one.

The peers need Python 3.12 or newer and environments of their own, which the first run makes below `.cache/`.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.sides import REAL_WORK_GROUPS, SIDES, Bench, Side

FEW = 2
MANY = {"noop": 102, "real": REAL_WORK_GROUPS}
MANY_QUICKLY = {"noop": 22, "real": 10}
ROUNDS = 3
BASE = "forks"
Measured = dict[str, Any]


def measurements(
    bench: Bench, sides: Sequence[Side], works: Sequence[str], many: dict[str, int], rounds: int
) -> Iterator[Measured]:
    """Yield every measurement as soon as it is made."""
    for work in works:
        taking_part = [side for side in sides if work in side.works]
        for side in taking_part:
            bench.run(side, work, FEW)
        for number in range(rounds):
            for side in taking_part:
                few, all_of_them = bench.run(side, work, FEW), bench.run(side, work, many[work])
                more = many[work] - FEW
                yield {
                    "round": number + 1,
                    "work": work,
                    "side": side.name,
                    "cpu_ms_each": (all_of_them.cpu_seconds - few.cpu_seconds) / more * 1000,
                    "wall_ms_each": (all_of_them.wall_seconds - few.wall_seconds) / more * 1000,
                    "start_seconds": few.wall_seconds,
                    "start_cpu_seconds": few.cpu_seconds,
                }


def table(work: str, rows: Sequence[Measured]) -> Table:
    """Return the medians of one kind of work, with the medians of the ratios to the bare forks, round by round."""
    columns = ("side", "CPU ms each", "of forks", "wall ms each", "of forks", f"{FEW} tasks, wall s", "CPU s")
    shown = Table(*columns, "isolated", "retried", "recorded", title=f"{work}: what a task costs, 2 workers, medians")
    for side in SIDES:
        own = [row for row in rows if row["work"] == work and row["side"] == side.name]
        if not own:
            continue
        base = {row["round"]: row for row in rows if row["work"] == work and row["side"] == BASE}
        shown.add_row(
            side.name,
            f"{_median(own, 'cpu_ms_each'):.0f}",
            _ratio(own, base, "cpu_ms_each"),
            f"{_median(own, 'wall_ms_each'):.0f}",
            _ratio(own, base, "wall_ms_each"),
            f"{_median(own, 'start_seconds'):.1f}",
            f"{_median(own, 'start_cpu_seconds'):.1f}",
            "yes" if side.isolated else "no",
            "yes" if side.retried else "no",
            side.recorded,
        )
    return shown


def _median(rows: Sequence[Measured], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def _ratio(rows: Sequence[Measured], base: dict[int, Measured], name: str) -> str:
    ratios = [row[name] / base[row["round"]][name] for row in rows if row["round"] in base]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def main() -> None:
    """Measure everything and print the tables."""
    names = [side.name for side in SIDES]
    parser = argparse.ArgumentParser(description="Compare what an execution costs with peers.")
    parser.add_argument("--quick", action="store_true", help="one round, fewer tasks")
    parser.add_argument("--rounds", type=int, default=None, help=f"how often each is measured, {ROUNDS} by default")
    parser.add_argument("--work", nargs="+", choices=tuple(MANY), default=tuple(MANY))
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="SIDE", help=f"beside {BASE}: {', '.join(names)}"
    )
    options = parser.parse_args()
    chosen = [side for side in SIDES if side.name in {BASE, *options.only}]
    many = MANY_QUICKLY if options.quick else MANY
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for measured in measurements(Bench(Path(directory)), chosen, options.work, many, rounds):
            print(json.dumps(measured), flush=True)
            rows.append(measured)
    for work in options.work:
        Console(width=160).print(table(work, rows))


if __name__ == "__main__":
    main()

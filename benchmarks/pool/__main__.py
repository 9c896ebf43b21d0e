"""
What one tick of the pool of batch jobs costs, and one admission of the packing, by how much there is to plan.

    .venv/bin/python -m benchmarks.pool            # a few seconds
    .venv/bin/python -m benchmarks.pool --ticks 50

No scheduler is needed: planning is a function of values. Each line is one JSON object with the milliseconds of
processor time; the last table has the ratio of the largest to a quarter of it, which is 4 where the cost is linear.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.pool.scenes import JOBS, PACKINGS, POOLS


def milliseconds(work: Callable[[], object], ticks: int) -> float:
    """Return the median of the processor time of a call."""
    taken = []
    for _ in range(ticks):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return median(taken) * 1000


def measure(
    scenes: Mapping[str, Callable[[int], Callable[[], object]]], number: int, ticks: int
) -> list[dict[str, object]]:
    """Measure scenes of a number of jobs, and of a quarter of them."""
    measured = []
    for name, make in scenes.items():
        quarter, whole = (milliseconds(make(size), ticks) for size in (number // 4, number))
        row = {"scene": name, "number": number, "ms": round(whole, 2), "growth": round(whole / max(quarter, 1e-3), 1)}
        print(json.dumps(row), flush=True)
        measured.append(row)
    return measured


def table(rows: Sequence[dict[str, object]]) -> Table:
    """Return the measurements."""
    shown = Table("scene", "number", "ms", "over a quarter of it", title="Planning the pool, and packing")
    for row in rows:
        shown.add_row(*(str(row[column]) for column in ("scene", "number", "ms", "growth")))
    return shown


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="Time the planning of the pool of batch jobs.")
    parser.add_argument("--jobs", type=int, default=JOBS, help="jobs, and executions that wait or run")
    parser.add_argument("--ticks", type=int, default=9, help="how often each is measured")
    options = parser.parse_args()
    rows = [*measure(POOLS, options.jobs, options.ticks), *measure(PACKINGS, options.jobs, options.ticks)]
    Console(width=120).print(table(rows))


if __name__ == "__main__":
    main()

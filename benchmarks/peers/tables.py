"""What the benchmark prints: medians, and medians of the ratios, round by round."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from rich.table import Table

from benchmarks.peers.sides import FORKS, OURS


class Measured(NamedTuple):
    """What one side took in one round."""

    side: str
    work: str
    round: int
    tasks: int
    cpu_ms_each: float
    wall_ms_each: float
    start_cpu_seconds: float
    start_wall_seconds: float


def cost_table(work: str, rows: Sequence[Measured]) -> Table:
    """Return what a task costs each side, beside bare forks and beside this project."""
    columns = ("side", "CPU ms each", "of forks", "of ours", "wall ms each", "of forks", "of ours", "tasks")
    table = Table(*columns, title=f"{work}: what a task costs, 2 workers, medians")
    for side in dict.fromkeys(row.side for row in rows):
        figures: list[str] = []
        for name in ("cpu_ms_each", "wall_ms_each"):
            figures += [f"{_median(side, rows, name):.1f}", *(_ratio(side, base, rows, name) for base in (FORKS, OURS))]
        table.add_row(side, *figures, str(max(row.tasks for row in rows if row.side == side)))
    return table


def start_table(work: str, few: int, rows: Sequence[Measured]) -> Table:
    """Return what each side takes for few tasks, from its start to its end, beside this project."""
    table = Table("side", "CPU s", "of ours", "wall s", "of ours", title=f"{work}: start, {few} tasks, end, medians")
    for side in dict.fromkeys(row.side for row in rows):
        figures: list[str] = []
        for name in ("start_cpu_seconds", "start_wall_seconds"):
            figures += [f"{_median(side, rows, name):.2f}", _ratio(side, OURS, rows, name)]
        table.add_row(side, *figures)
    return table


def _values(side: str, rows: Sequence[Measured], name: str) -> dict[int, float]:
    return {row.round: float(getattr(row, name)) for row in rows if row.side == side}


def _median(side: str, rows: Sequence[Measured], name: str) -> float:
    return statistics.median(_values(side, rows, name).values())


def _ratio(side: str, base: str, rows: Sequence[Measured], name: str) -> str:
    of_base = _values(base, rows, name)
    ratios = [value / of_base[number] for number, value in _values(side, rows, name).items() if number in of_base]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"

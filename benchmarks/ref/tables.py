"""What the benchmark prints."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.ref.sides import SIDES
from benchmarks.ref.watched_solve import WatchedSolve

STRETCH: Final = 100
"""How many executions the first and the last stretch of a long solve have."""
COORDINATOR_MB: Final = 400


class Bound(NamedTuple):
    """What is wanted: the time of one side over that of another is at most this."""

    side: str
    other: str
    ratio: float


BOUNDS: Final = (Bound("server", "local", 1 / 5), Bound("own", "local", 0.4), Bound("server", "hpc", 1.5))

Measured = Mapping[str, Sequence[WatchedSolve]]


def results(measured: Measured, count: int) -> Table:
    """Return a line for each side: medians of its solves."""
    title = f"`ref solve` of {count} executions that compute nothing, 2 at once, medians"
    names = ("side", "solves", "seconds", "of it until REF has made all", "ms each", *_others(measured), "isolation")
    table = Table(*names, title=title)
    for name, solves in measured.items():
        seconds = median(solve.seconds for solve in solves)
        table.add_row(
            SIDES[name].title,
            str(len(solves)),
            f"{seconds:.1f}",
            f"{median(solve.made_at() for solve in solves):.1f}",
            f"{seconds / count * 1000:.0f}",
            *(f"{ratio(measured, name, other):.2f}" for other in ("local", "hpc") if other in measured),
            SIDES[name].isolation,
        )
    return table


def _others(measured: Measured) -> list[str]:
    return [f"/ {SIDES[other].title}" for other in ("local", "hpc") if other in measured]


def ratio(measured: Measured, side: str, other: str) -> float:
    """Return the median time of one side over that of another."""
    first, second = (median(solve.seconds for solve in measured[name]) for name in (side, other))
    return first / second


def judged(measured: Measured) -> list[str]:
    """Return for each bound whose sides were measured whether it holds."""
    found = ((bound, ratio(measured, bound.side, bound.other)) for bound in BOUNDS if _has(measured, bound))
    return [
        f"{SIDES[bound.side].title}: {value:.2f} of {SIDES[bound.other].title}, at most {bound.ratio:.2f} is wanted: "
        f"{'holds' if value <= bound.ratio else 'MISSED'}"
        for bound, value in found
    ]


def _has(measured: Measured, bound: Bound) -> bool:
    return {bound.side, bound.other} <= measured.keys()


def growth(solves: Mapping[int, WatchedSolve]) -> Table:
    """Return a line for each number of executions: what one costs, and the memory of the process of `ref solve`."""
    names = ("executions", "seconds", "ms each", "processor ms each", "ms each in REF's own loop", "peak PSS MB", "RSS")
    table = Table(*names, title="How the cost grows; processor time and memory are of the process of `ref solve`")
    for count, solve in solves.items():
        each = (solve.seconds, solve.samples[-1].cpu_seconds, solve.made_at())
        whole, cpu, made = (f"{seconds / count * 1000:.0f}" for seconds in each)
        table.add_row(
            str(count), f"{solve.seconds:.1f}", whole, cpu, made, f"{solve.peak_pss_mb:.0f}", f"{solve.peak_rss_mb:.0f}"
        )
    return table


def stretches(solve: WatchedSolve) -> Table:
    """Return what each stretch of one solve took, from the first success on."""
    table = Table("executions", "ms each", "processor ms each", title="Stretches of the longest solve")
    marks = [1, *range(STRETCH, solve.succeeded + 1, STRETCH)]
    for first, last in pairwise(marks):
        before, after = solve.at(first), solve.at(last)
        spent = (after.seconds - before.seconds, after.cpu_seconds - before.cpu_seconds)
        table.add_row(f"{first} to {last}", *(f"{seconds / (last - first) * 1000:.0f}" for seconds in spent))
    return table

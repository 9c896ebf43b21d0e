"""Measures sides in turns: how often, with how many tasks, and what becomes of one that fails."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.peers.sides import Side
from benchmarks.peers.tables import Measured
from benchmarks.process_cost import Cost, ProgramFailed

FEW = 2
MANY = {"noop": 102, "real": 22}
MANY_SLOW = {"noop": 22, "real": 22}
"""For sides that are slow; the models of the real work differ, so that all sides run the same."""
MANY_QUICKLY = {"noop": 7, "real": 4}


class Bench:
    """
    Runs the sides in directories that they keep, and leaves out the ones that have failed.

    Parameters
    ----------
    sides
        By their names.
    directory
        Empty; for all that the sides write.
    quick
        Whether a few tasks are enough.
    """

    def __init__(self, sides: Mapping[str, Side], directory: Path, *, quick: bool) -> None:
        self._sides = sides
        self._directory = directory
        self._quick = quick
        self.failures: dict[str, str] = {}

    def measure(self, work: str, names: Sequence[str], rounds: int) -> Iterator[Measured]:
        """Yield every measurement of one kind of work as soon as it is made."""
        taking_part = [name for name in names if work in self._sides[name].works]
        for name in taking_part:
            if self._sides[name].keeps:
                self._run(name, work, FEW)
        for number in range(1, rounds + 1):
            for name in taking_part:
                many = self._many(name, work)
                few_cost, many_cost = self._run(name, work, FEW), self._run(name, work, many)
                if few_cost and many_cost:
                    yield _measured((name, work, number), few_cost, many_cost, many - FEW)

    def _many(self, name: str, work: str) -> int:
        if self._quick:
            return MANY_QUICKLY[work]
        return (MANY_SLOW if self._sides[name].slow else MANY)[work]

    def _run(self, name: str, work: str, count: int) -> Cost | None:
        if name in self.failures:
            return None
        place = self._directory / name.replace(" ", "-")
        place.mkdir(exist_ok=True)
        try:
            return self._sides[name].run(self._sides[name].program, place, work, count)
        except ProgramFailed as failed:
            self.failures[name] = f"{name} has failed with {count} tasks ({work}):\n{failed}"
            print(self.failures[name], file=sys.stderr, flush=True)
            return None


def _measured(what: tuple[str, str, int], few: Cost, many: Cost, more: int) -> Measured:
    return Measured(
        *what,
        tasks=more + FEW,
        cpu_ms_each=(many.cpu_seconds - few.cpu_seconds) / more * 1000,
        wall_ms_each=(many.wall_seconds - few.wall_seconds) / more * 1000,
        start_cpu_seconds=few.cpu_seconds,
        start_wall_seconds=few.wall_seconds,
    )

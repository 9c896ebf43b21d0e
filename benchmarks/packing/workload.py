"""The tasks that every side runs, and the time that no side can beat."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from climate_ref_prefect.diagnostics.base_models import FrozenModel

_SHORTEST_LIMIT_SECONDS = 30.0


class Task(FrozenModel):
    """One execution: what it asks for, and for how long it waits."""

    name: str
    cpu: int
    memory_mb: int
    """In MiB."""
    wall_clock_seconds: float
    """The time limit that it declares."""
    seconds: float
    """How long it takes, which is not known beforehand."""


@dataclass(frozen=True)
class Kind:
    """Tasks that differ in nothing but their duration."""

    name: str
    count: int
    cpu: int
    memory_mb: int
    shortest_seconds: float
    longest_seconds: float

    @property
    def wall_clock_seconds(self) -> float:
        """The time limit of each: three times what the longest takes, and half a minute at least."""
        return max(3 * self.longest_seconds, _SHORTEST_LIMIT_SECONDS)


@dataclass(frozen=True)
class Machine:
    """The nodes of the cluster, all alike."""

    nodes: int
    cpus: int
    memory_mb: int


MACHINE = Machine(nodes=2, cpus=8, memory_mb=16_000)
MIXED = (
    Kind("tiny", 30, 1, 600, 5, 15),
    Kind("small", 30, 1, 1200, 8, 25),
    Kind("medium", 15, 2, 2500, 10, 30),
    Kind("wide", 15, 4, 3500, 15, 35),
    Kind("large", 6, 2, 10_000, 50, 60),
)
"""Many small ones, some wide, few large and long."""
NO_OPS = Kind("noop", 40, 1, 600, 0, 0)
QUICK = (
    Kind("small", 8, 1, 1200, 2, 4),
    Kind("wide", 2, 4, 3500, 3, 5),
    Kind("large", 1, 2, 10_000, 5, 6),
)
QUICK_NO_OPS = Kind("noop", 6, 1, 600, 0, 0)


def generate(kinds: Sequence[Kind], seed: int = 1) -> list[Task]:
    """
    Return the tasks of some kinds in an order of no meaning; always the same ones for the same seed.

    Parameters
    ----------
    kinds
        What to make.
    seed
        Of the order, and of the durations, which are spread evenly between the shortest and the longest of a kind.
    """
    chance = random.Random(seed)
    order = [kind for kind in kinds for _ in range(kind.count)]
    chance.shuffle(order)
    return [
        Task(
            name=f"task-{number:03d}-{kind.name}",
            cpu=kind.cpu,
            memory_mb=kind.memory_mb,
            wall_clock_seconds=kind.wall_clock_seconds,
            seconds=round(chance.uniform(kind.shortest_seconds, kind.longest_seconds), 1),
        )
        for number, kind in enumerate(order)
    ]


def lower_bound_seconds(tasks: Sequence[Task], machine: Machine) -> float:
    """
    Return the time that no order of the tasks can beat.

    The larger of the critical path and of the processor time and the memory time of all tasks over what the nodes
    have. No task waits for another, so the critical path is the longest task.
    """
    return max(bounds_seconds(tasks, machine).values(), default=0.0)


def bounds_seconds(tasks: Sequence[Task], machine: Machine) -> dict[str, float]:
    """Return each of the times of which the lower bound is the largest."""
    if not tasks:
        return {}
    return {
        "critical path": max(task.seconds for task in tasks),
        "CPU": sum(task.cpu * task.seconds for task in tasks) / (machine.nodes * machine.cpus),
        "memory": sum(task.memory_mb * task.seconds for task in tasks) / (machine.nodes * machine.memory_mb),
    }

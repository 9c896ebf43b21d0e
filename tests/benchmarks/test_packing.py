"""The packing benchmark: its workload, the bound that it is held against, and that it runs."""

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest
from benchmarks.packing.tables import composition, results
from benchmarks.packing.workload import (
    MACHINE,
    MIXED,
    NO_OPS,
    QUICK,
    Kind,
    Machine,
    Task,
    bounds_seconds,
    generate,
    lower_bound_seconds,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.packaging.checkout import ROOT
from tests.slurm.fixtures import require_slurm

SMALL = Machine(nodes=2, cpus=4, memory_mb=1000)
HEADROOM_MB = 512


def task(cpu: int = 1, memory_mb: int = 1, seconds: float = 10.0) -> Task:
    return Task(name="task", cpu=cpu, memory_mb=memory_mb, wall_clock_seconds=100, seconds=seconds)


def test_the_bound_is_the_longest_task_where_there_is_room_for_all() -> None:
    assert lower_bound_seconds([task(seconds=10), task(seconds=30)], SMALL) == 30


def test_the_bound_is_the_processor_time_over_all_processors() -> None:
    assert lower_bound_seconds([task(cpu=4)] * 5, SMALL) == 25


def test_the_bound_is_the_memory_time_over_all_memory() -> None:
    assert lower_bound_seconds([task(memory_mb=1000)] * 7, SMALL) == 35


def test_nothing_takes_no_time() -> None:
    assert lower_bound_seconds([], SMALL) == 0


@given(
    st.lists(
        st.builds(task, cpu=st.integers(1, 4), memory_mb=st.integers(1, 1000), seconds=st.integers(1, 20)), min_size=1
    )
)
def test_no_schedule_beats_the_bound(tasks: list[Task]) -> None:
    assert greedy_makespan_seconds(tasks, SMALL) >= lower_bound_seconds(tasks, SMALL) * (1 - 1e-9)


def greedy_makespan_seconds(tasks: Sequence[Task], machine: Machine) -> float:
    """Return how long it takes to run tasks in their order, each on the node that has room for it first."""
    running: list[list[tuple[float, Task]]] = [[] for _ in range(machine.nodes)]
    return max(start(one, running, machine) for one in tasks)


def start(one: Task, running: list[list[tuple[float, Task]]], machine: Machine) -> float:
    """Put a task where it can start first, after all that came before it; return when it ends."""
    moments = sorted({0.0, *(end for node in running for end, _ in node)})
    for moment in moments:
        for node in running:
            left = [other for end, other in node if end > moment]
            enough_cpu = one.cpu + sum(other.cpu for other in left) <= machine.cpus
            if enough_cpu and one.memory_mb + sum(other.memory_mb for other in left) <= machine.memory_mb:
                node.append((moment + one.seconds, one))
                return moment + one.seconds
    raise AssertionError("it fits on no node")


def test_the_same_seed_makes_the_same_tasks() -> None:
    assert generate(MIXED, seed=3) == generate(MIXED, seed=3)
    assert generate(MIXED, seed=3) != generate(MIXED, seed=4)


@pytest.mark.parametrize("kinds", [MIXED, QUICK, (NO_OPS,)])
def test_tasks_are_of_their_kinds(kinds: Sequence[Kind]) -> None:
    tasks = generate(kinds)
    assert len({one.name for one in tasks}) == len(tasks) == sum(kind.count for kind in kinds)
    for kind in kinds:
        found = [one for one in tasks if one.name.endswith(f"-{kind.name}")]
        assert len(found) == kind.count
        assert all(kind.shortest_seconds <= one.seconds <= kind.longest_seconds for one in found)
        assert {(one.cpu, one.memory_mb) for one in found} == {(kind.cpu, kind.memory_mb)}


def test_every_task_fits_on_a_node_beside_a_worker() -> None:
    for one in generate(MIXED):
        assert one.cpu <= MACHINE.cpus
        assert one.memory_mb + HEADROOM_MB <= MACHINE.memory_mb
        assert one.seconds < one.wall_clock_seconds


def test_the_workload_is_mixed_and_as_long_as_it_says() -> None:
    tasks = generate(MIXED)
    assert 60 <= len(tasks) <= 100
    assert all(5 <= one.seconds <= 60 for one in tasks)
    assert 180 <= lower_bound_seconds(tasks, MACHINE) <= 260
    assert bounds_seconds(tasks, MACHINE)["memory"] > 0.75 * bounds_seconds(tasks, MACHINE)["CPU"]


def test_the_tables_hold_every_kind_and_every_side() -> None:
    mixed = {"work": "mixed", "side": "node", "seconds": 50.0, "first_seconds": 5.0, "count": 11, "jobs": 2}
    no_ops = {**mixed, "work": "no-ops", "seconds": 8.0, "first_seconds": 3.0}
    table = results([mixed, no_ops], [task(seconds=40)], SMALL)
    assert [list(column.cells) for column in table.columns[1:8]] == [
        ["50.0"],
        ["1.25"],
        ["1.00"],
        ["2"],
        ["11"],
        ["727"],
        ["500"],
    ]
    assert composition(MIXED, MACHINE).row_count == len(MIXED)


@pytest.mark.slow
def test_our_part_runs() -> None:
    require_slurm()
    command = [sys.executable, "-m", "benchmarks.packing", "--quick", "--only", "node"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    measured = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [(row["work"], row["succeeded"]) for row in measured] == [("mixed", 11), ("no-ops", 6)]
    assert measured[0]["seconds"] >= lower_bound_seconds(generate(QUICK), MACHINE)
    assert "lower bound" in ended.stdout

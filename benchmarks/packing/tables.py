"""What the benchmark prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from benchmarks.packing.workload import Kind, Machine, Task, bounds_seconds, generate, lower_bound_seconds

NAMES = {
    "node": "this project, shared nodes",
    "sizes": "this project, jobs by size",
    "parsl": "Parsl, one size for all",
    "submitit": "prefect-submitit, a job each",
}
ISOLATION = {
    "node": "process, memory sampled",
    "sizes": "process, memory by SLURM",
    "parsl": "shared worker",
    "submitit": "job, memory by SLURM",
}


def composition(kinds: Sequence[Kind], machine: Machine) -> Table:
    """Return what the mixed workload is made of, with its bounds in the title."""
    tasks = generate(kinds)
    bounds = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in bounds_seconds(tasks, machine).items())
    title = f"{len(tasks)} tasks on {machine.nodes} nodes of {machine.cpus} CPUs and {machine.memory_mb} MB: {bounds}"
    table = Table("kind", "tasks", "CPU", "MB", "seconds", "time limit", title=title)
    for kind in kinds:
        seconds = f"{kind.shortest_seconds:g}-{kind.longest_seconds:g}"
        limit = f"{kind.wall_clock_seconds:g}"
        table.add_row(kind.name, str(kind.count), str(kind.cpu), str(kind.memory_mb), seconds, limit)
    return table


def results(rows: Sequence[Mapping[str, Any]], tasks: Sequence[Task], machine: Machine) -> Table:
    """Return the measurements, a line for each side."""
    bound = lower_bound_seconds(tasks, machine)
    mixed = {row["side"]: row for row in rows if row["work"] == "mixed"}
    no_ops = {row["side"]: row for row in rows if row["work"] == "no-ops"}
    columns = ("side", "makespan s", "/ bound", "/ first side", "jobs", "no-ops", "ms each", "then each", "isolation")
    table = Table(*columns, title=f"Mixed sizes, lower bound {bound:.1f} s, and no-ops")
    first = next(iter(mixed.values()))["seconds"]
    for side, row in mixed.items():
        table.add_row(
            NAMES[side],
            f"{row['seconds']:.1f}",
            f"{row['seconds'] / bound:.2f}",
            f"{row['seconds'] / first:.2f}",
            str(row["jobs"]),
            *_cost(no_ops[side]),
            ISOLATION[side],
        )
    return table


def settings(row: Mapping[str, Any]) -> str:
    """Return what a side was set to."""
    return f"{NAMES[row['side']]}: " + ", ".join(f"{name} {value}" for name, value in row["settings"].items())


def _cost(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return how many no-ops there were, what each cost, and what each cost after the first had ended."""
    count, seconds = row["count"], row["seconds"]
    later = (seconds - row["first_seconds"]) / (count - 1)
    return str(count), f"{seconds / count * 1000:.0f}", f"{later * 1000:.0f}"

"""
How well mixed sizes are packed on a real SLURM, and what an execution costs there: this project and two others.

    .venv/bin/python -m benchmarks.packing            # everything, about 35 minutes
    .venv/bin/python -m benchmarks.packing --quick    # a handful of short tasks
    .venv/bin/python -m benchmarks.packing --only node sizes

All sides run the same tasks, one side after another, on one private cluster that claims more processors than the
machine has: the tasks wait, they do not compute. Root and Debian's SLURM are needed, as for `tests/slurm`; the peers
need Python 3.12 or newer and an environment of their own, which the first run makes below `.cache/`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.slurm.cluster import SlurmCluster

from benchmarks.environments import python_of
from benchmarks.packing import tables
from benchmarks.packing.workload import MACHINE, MIXED, NO_OPS, QUICK, QUICK_NO_OPS, Kind, Task, generate
from climate_ref_prefect.flows.server.local_server import local_server
from climate_ref_prefect.testing.processes import wait_until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIDES = ("node", "sizes", "parsl", "submitit")
_END_SECONDS = 60.0
Measured = dict[str, Any]


def command(side: str) -> list[str]:
    """Return the command that measures a side; the file of the tasks comes after it."""
    if side in ("node", "sizes"):
        return [sys.executable, "-m", "benchmarks.packing.ours", "--jobs", side]
    python = str(python_of("packing", HERE / "peers_requirements.txt"))
    if side == "submitit":
        return [python, str(HERE / "submitit_jobs.py")]
    size = {"nodes": MACHINE.nodes, "cpus": MACHINE.cpus, "memory-mb": MACHINE.memory_mb}
    return [python, str(HERE / "parsl_pool.py"), *(f"--{name}={value}" for name, value in size.items())]


def measure(side: str, tasks: Sequence[Task]) -> Measured:
    """Run tasks by one side and return what it printed last; ends the program where not all of them succeed."""
    load = os.getloadavg()[0]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
        json.dump([task.model_dump() for task in tasks], file)
        file.flush()
        words = [*command(side), file.name]
        ended = subprocess.run(words, check=False, stdout=subprocess.PIPE, encoding="utf-8", cwd=ROOT)
    measured: Measured = json.loads(ended.stdout.strip().splitlines()[-1]) if ended.returncode == 0 else {}
    if measured.get("succeeded") != len(tasks):
        raise SystemExit(f"{' '.join(words)} ended with code {ended.returncode}: {measured or 'it did not finish'}")
    return {"side": side, "load_before": round(load, 2), **measured}


def measurements(
    sides: Sequence[str], kinds: Sequence[Kind], no_ops: Kind, cluster: SlurmCluster
) -> Iterator[Measured]:
    """Yield every measurement as soon as it is made."""
    for work, tasks in (("mixed", generate(kinds)), ("no-ops", generate([no_ops]))):
        for side in sides:
            yield {"work": work, **measure(side, tasks)}
            wait_until(lambda: set(cluster.node_states().values()) == {"idle"}, _END_SECONDS)


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description="Compare how mixed sizes are packed on SLURM.")
    parser.add_argument("--quick", action="store_true", help="a handful of short tasks")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=SIDES, metavar="SIDE", help=", ".join(SIDES))
    options = parser.parse_args()
    kinds, no_ops = (QUICK, QUICK_NO_OPS) if options.quick else (MIXED, NO_OPS)
    console = Console(width=140)
    console.print(tables.composition(kinds, MACHINE))
    rows = []
    with (
        SlurmCluster(MACHINE.nodes, MACHINE.cpus, MACHINE.memory_mb, accounting=True) as cluster,
        tempfile.TemporaryDirectory() as home,
        local_server(Path(home)) as server,
    ):
        os.environ.update({**cluster.environment, **server.variables, "PYTHONPATH": str(ROOT)})
        for measured in measurements(options.only, kinds, no_ops, cluster):
            print(json.dumps(measured), flush=True)
            rows.append(measured)
    console.print(tables.results(rows, generate(kinds), MACHINE))
    for row in rows:
        if row["work"] == "mixed":
            console.print(tables.settings(row))


if __name__ == "__main__":
    main()

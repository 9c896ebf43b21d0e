"""Run tasks in one pool of workers of one size, as climate-ref's `HPCExecutor` does, and print one JSON line.

Parsl's `HighThroughputExecutor` asks SLURM for whole nodes by Parsl's own `SlurmProvider`. Each worker has the
processors and the memory of the largest task, for every worker may be given any task. The clock starts when Parsl has
been loaded; what climate-ref does for an execution (rows, files, results) is left out, to the peer's advantage.

Run it inside the peers' environment.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import parsl
from parsl import python_app
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.providers import SlurmProvider

MB_PER_GB = 1024


@python_app
def wait(seconds: float) -> float:
    """Wait, and return the time of the end."""
    import time  # noqa: PLC0415 - runs elsewhere

    time.sleep(seconds)
    return time.time()


def worker(tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the size of a worker that is fit for each of the tasks."""
    memory_gb = max(task["memory_mb"] for task in tasks) / MB_PER_GB
    return {"cores_per_worker": max(task["cpu"] for task in tasks), "mem_per_worker": round(memory_gb, 2)}


def configuration(tasks: list[dict[str, Any]], options: argparse.Namespace, run_directory: str) -> Config:
    """Return what `HPCExecutor` makes of its settings, with a worker for the largest of the tasks."""
    provider = SlurmProvider(
        partition=options.partition,
        nodes_per_block=1,
        cores_per_node=options.cpus,
        mem_per_node=options.memory_mb // MB_PER_GB,
        init_blocks=options.nodes,
        max_blocks=options.nodes,
        walltime="01:00:00",
        cmd_timeout=120,
        launcher=SrunLauncher(debug=True),
    )
    executor = HighThroughputExecutor(
        label="pool", address="127.0.0.1", cpu_affinity="none", provider=provider, **worker(tasks)
    )
    return Config(run_dir=run_directory, executors=[executor], retries=2)


def measure(tasks: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Run the tasks and return what was measured."""
    with tempfile.TemporaryDirectory(prefix="parsl-") as directory:
        parsl.load(configuration(tasks, options, directory))
        began = time.time()
        ends = [future.result() for future in [wait(task["seconds"]) for task in tasks]]
        seconds = time.time() - began
        parsl.dfk().cleanup()
    return {
        "count": len(tasks),
        "succeeded": len(ends),
        "seconds": round(seconds, 2),
        "first_seconds": round(min(ends) - began, 2),
        "jobs": options.nodes,
        "settings": {**worker(tasks), "init_blocks": options.nodes, "mem_per_node": options.memory_mb // MB_PER_GB},
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Run tasks in one pool of Parsl's.")
    parser.add_argument("tasks", type=Path, help="JSON file")
    parser.add_argument("--partition", default="normal")
    for name in ("nodes", "cpus", "memory-mb"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    print(json.dumps(measure(json.loads(options.tasks.read_text(encoding="utf-8")), options)))


if __name__ == "__main__":
    main()

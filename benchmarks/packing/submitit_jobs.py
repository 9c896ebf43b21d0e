"""Run tasks by `prefect-submitit`, a job of its own size for each, and print one JSON line.

Run it inside the peers' environment, with a Prefect server in `PREFECT_API_URL`. The clock starts with the first
submission, within the flow.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import prefect_submitit
from prefect import flow

POLL_SECONDS = 1.0
"""How often a future looks; 5 s as shipped."""
HEADROOM_MB = 256
"""For Python and Prefect, on top of what a task asks for."""
MARGIN_SECONDS = 180
"""To start, and because submitit warns its jobs 90 s before the end of their time."""


def wait(seconds: float) -> float:
    """Wait, and return the time of the end."""
    time.sleep(seconds)
    return time.time()


def sized(task: dict[str, Any]) -> Any:
    """Return the Prefect task whose jobs have the size of this task."""
    sizes = {
        "cpus_per_task": task["cpu"],
        "mem_gb": (task["memory_mb"] + HEADROOM_MB) / 1024,
        "timeout_min": math.ceil((task["wall_clock_seconds"] + MARGIN_SECONDS) / 60),
    }

    def own(seconds: float) -> float:
        return wait(seconds)

    return prefect_submitit.task(slurm_kwargs=sizes)(own)


def measure(tasks: list[dict[str, Any]], partition: str) -> dict[str, Any]:
    """Run the tasks and return what was measured."""
    with tempfile.TemporaryDirectory(prefix="submitit-") as directory:
        runner = prefect_submitit.SlurmTaskRunner(
            slurm_partition=partition, poll_interval=POLL_SECONDS, log_folder=directory
        )

        @flow(task_runner=runner)
        def run() -> tuple[float, list[float]]:
            began = time.time()
            futures = [sized(task).submit(task["seconds"]) for task in tasks]
            return began, [future.result() for future in futures]

        began, ends = run()
        seconds = time.time() - began
    return {
        "count": len(tasks),
        "succeeded": len(ends),
        "seconds": round(seconds, 2),
        "first_seconds": round(min(ends) - began, 2),
        "jobs": len(tasks),
        "settings": {"poll_interval": POLL_SECONDS, "headroom_mb": HEADROOM_MB, "margin_seconds": MARGIN_SECONDS},
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Run tasks in a job of SLURM each.")
    parser.add_argument("tasks", type=Path, help="JSON file")
    parser.add_argument("--partition", default="normal")
    options = parser.parse_args()
    print(json.dumps(measure(json.loads(options.tasks.read_text(encoding="utf-8")), options.partition)))


if __name__ == "__main__":
    main()

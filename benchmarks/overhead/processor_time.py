"""
Measure the processor time that no-op executions cost in all processes together, and print one JSON line.

The same program measures an earlier commit, with that commit's own no-op: what it imports is looked for under the names
of today, then under those that it had before.
The clock starts once Prefect's server answers; planning and the start of the provider's process are included.
"""

import argparse
import importlib
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.overhead.ours import make_tree
from climate_ref_prefect.flows.solve import solve


def imported(attribute: str, *modules: str) -> Any:
    """Return an attribute of the first of some modules that exists and has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"climate_ref_prefect.{module}"), attribute)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"None of {', '.join(modules)} has {attribute}.")


local_server = imported("local_server", "flows.server.local_server", "flows.server")
LocalTransport = imported("LocalTransport", "transports.this_machine.in_parallel", "transports.local")


def processor_seconds() -> float:
    """Return the processor time of this process, of all below it, and of all that have ended there."""
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    for process in psutil.Process().children(recursive=True):
        try:
            used += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # it has just ended; its parent has its time, or this process
            continue
    return used


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the processor time of no-op executions.")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root / "home")
        os.environ["PREFECT_HOME"] = str(root / "prefect")
        data = str(make_tree(root / "data", options.count))
        with local_server(root / "home"):
            before, began = processor_seconds(), time.monotonic()
            report = solve(
                data=data,
                providers=["benchmarks.overhead.ours_provider:noop"],
                transport=LocalTransport(cpu=options.workers),
            )
            used, took = processor_seconds() - before, time.monotonic() - began
    print(
        json.dumps(
            {
                "succeeded": report.succeeded,
                "cpu_ms_each": round(used / options.count * 1000, 2),
                "wall_ms_each": round(took / options.count * 1000, 2),
                "recorded": report.recorded.recorded,
            }
        )
    )


if __name__ == "__main__":
    main()

"""
Count the jobs that were cancelled before they started, on a real SLURM where nothing is made to go wrong.

    .venv/bin/python -m benchmarks.packing.cancelled            # 200 jobs and more, about 15 minutes
    .venv/bin/python -m benchmarks.packing.cancelled --quick    # a handful

Each job runs one execution or two, so that many are needed. What is withdrawn at the end of the solve, when nothing
waits any more, is counted by itself. Root and Debian's SLURM are needed, as for `tests/slurm`.
"""

import argparse
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.slurm.cluster import SlurmCluster

from benchmarks.packing import ours
from benchmarks.packing.workload import MACHINE, MIXED, QUICK, generate
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.server.local_server import local_server

_EXECUTIONS_PER_JOB = 2
_REPEATS = 4
"""How many times the mixed workload is repeated: 384 executions, in 192 jobs at least."""


def count(cluster: SlurmCluster, report: SolveReport) -> dict[str, object]:
    """Return how many jobs there were, and how many of them never started."""
    last_end = max(row.finished_at for row in report.executions if row.finished_at)
    printed = cluster.run("sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State,Start,End")
    rows = [line.split("|") for line in printed.splitlines() if line]
    never = [end for _, state, start, end in rows if state.startswith("CANCELLED") and start in ("None", "Unknown")]
    ends = [datetime.fromisoformat(end).astimezone(UTC) for end in never]
    at_the_end = sum(end >= last_end.astimezone(UTC).replace(microsecond=0) for end in ends)
    return {
        "executions": len(report.executions),
        "succeeded": report.succeeded,
        "seconds": round(report.running_seconds, 2),
        "jobs": len(rows),
        "cancelled_before_start": len(never) - at_the_end,
        "withdrawn_at_the_end": at_the_end,
        "fraction": round((len(never) - at_the_end) / max(1, len(rows)), 3),
    }


def main() -> None:
    """Run the workload and print one JSON line."""
    parser = argparse.ArgumentParser(description="Count jobs that were cancelled before they started.")
    parser.add_argument("--quick", action="store_true", help="a handful of short tasks")
    options = parser.parse_args()
    kinds = QUICK if options.quick else MIXED * _REPEATS
    tasks = [task.model_copy(update={"name": f"{task.name}-{number}"}) for number, task in enumerate(generate(kinds))]
    rules = ours.RULES["sizes"].model_copy(update={"executions_per_job": _EXECUTIONS_PER_JOB, "idle_seconds": 5.0})
    ours.RULES["sizes"] = rules
    with (
        SlurmCluster(MACHINE.nodes, MACHINE.cpus, MACHINE.memory_mb, accounting=True) as cluster,
        tempfile.TemporaryDirectory() as home,
        local_server(Path(home)) as server,
        tempfile.TemporaryDirectory(prefix="cancelled-") as root,
    ):
        here = str(Path(__file__).resolve().parents[2])
        os.environ.update({**cluster.environment, **server.variables, "PYTHONPATH": here})
        report = ours.measure(tasks, "sizes", Path(root))
        print(json.dumps(count(cluster, report)))


if __name__ == "__main__":
    main()

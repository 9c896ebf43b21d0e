"""
Run tasks through `solve` in SLURM jobs and print one JSON line. A Prefect server answers at PREFECT_API_URL.

`seconds` runs from the first phase of the first execution until all results are in the store.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.packing.workload import MACHINE, Task
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.solve import solve
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Node, Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits

TASKS = TypeAdapter(list[Task])
RULES = {
    "node": PoolLimits(max_jobs=MACHINE.nodes, idle_seconds=5, poll_seconds=1),
    "sizes": PoolLimits(max_jobs=20, idle_seconds=0, poll_seconds=1),
}
"""`node` packs executions of all sizes into jobs that are whole nodes, `sizes` has jobs in the sizes of executions."""
SIZING = {
    "node": Sizing(
        node=Node(cpu=MACHINE.cpus, memory_mb=MACHINE.memory_mb),
        headroom_mb=512,
        least_walltime=timedelta(minutes=30),
    ),
    "sizes": Sizing(headroom_mb=256, walltime_margin=timedelta(minutes=2)),
}
_TOLD = {"max_jobs", "idle_seconds", "node", "headroom_mb", "walltime_margin", "least_walltime"}
_DRS = "CMIP6/CMIP/NONE/{name}/historical/r1i1p1f1/Amon/ta/gn/v20260101"
_FILE = "ta_Amon_{name}_historical_r1i1p1f1_gn_200001-200012.nc"
_PROVIDER = "benchmarks.packing.provider:provider"


def make_tree(root: Path, tasks: Sequence[Task]) -> Path:
    """Make a CMIP6 tree in which each task is a model, its only file being the task itself."""
    for task in tasks:
        directory = root / _DRS.format(name=task.name)
        directory.mkdir(parents=True)
        (directory / _FILE.format(name=task.name)).write_text(task.model_dump_json(), encoding="utf-8")
    return root


def measure(tasks: Sequence[Task], jobs: str, root: Path) -> SolveReport:
    """Run the tasks and return the report."""
    os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root / "home")
    transport = SlurmTransport(
        rules=RULES[jobs],
        sizing=SIZING[jobs],
        shared_directory=root / "shared",
        interface="lo",
        outcome_patience_seconds=2,
    )
    report: SolveReport = solve(data=str(make_tree(root / "data", tasks)), providers=[_PROVIDER], transport=transport)
    return report


def describe(report: SolveReport, jobs: str) -> dict[str, object]:
    """Return what was measured, in the words that all sides use."""
    rows = report.executions
    ends = sorted(row.finished_at.timestamp() for row in rows if row.finished_at)
    return {
        "count": len(rows),
        "succeeded": report.succeeded,
        "seconds": round(report.running_seconds, 2),
        "first_seconds": round(report.running_seconds - (ends[-1] - ends[0]), 2),
        "jobs": len({row.telemetry_meta.get("job_id") for row in rows if row.telemetry_meta}),
        "settings": {**RULES[jobs].model_dump(include=_TOLD), **SIZING[jobs].model_dump(mode="json", include=_TOLD)},
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Run tasks through climate-ref-prefect.")
    parser.add_argument("tasks", type=Path, help="JSON file")
    parser.add_argument("--jobs", choices=sorted(RULES), default="node")
    options = parser.parse_args()
    tasks = TASKS.validate_json(options.tasks.read_bytes())
    with tempfile.TemporaryDirectory(prefix="packing-") as root:
        report = measure(tasks, options.jobs, Path(root))
    print(json.dumps(describe(report, options.jobs)))


if __name__ == "__main__":
    main()

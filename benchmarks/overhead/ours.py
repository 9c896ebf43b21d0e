"""
Time this project on the benchmark's work, with the Prefect server that is configured or its own, and print a JSON line.

`seconds` runs from the first phase of the first execution until all results are in the store, starting the
provider's warm server included; `recorded_seconds` is what Prefect's server then still took to record every task run.
"""

import argparse
import json
import os
import platform
import resource
import tempfile
from datetime import timedelta
from pathlib import Path

from climate_ref_prefect import __version__
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.server.local_server import configured_or_local_server
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.solve import solve
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

_PROVIDERS = "benchmarks.overhead.ours_provider:"
_DRS = "CMIP6/CMIP/NONE/MODEL{number:04d}/historical/r1i1p1f1/Amon/ta/gn/v20260101"
_FILE = "ta_Amon_MODEL{number:04d}_historical_r1i1p1f1_gn_200001-200012.nc"


def make_tree(root: Path, count: int) -> Path:
    """Make a CMIP6 tree of `count` models with an empty file each, which no-op executions never open; it may grow."""
    for number in range(count):
        directory = root / _DRS.format(number=number)
        if not directory.exists():  # A file that is touched is another input.
            directory.mkdir(parents=True)
            (directory / _FILE.format(number=number)).touch()
    return root


def measure(work: str, count: int, workers: int, root: Path) -> SolveReport:
    """Run `count` executions (`noop`), or all there are of the real ones, and return the report."""
    os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root / "home")
    data = str(make_tree(root / "data", count)) if work == "noop" else "sample"
    with configured_or_local_server(Settings().home_directory, lifetime=timedelta(0)):
        report: SolveReport = solve(data=data, providers=[_PROVIDERS + work], transport=LocalTransport(cpu=workers))
    return report


def describe(report: SolveReport, work: str, workers: int) -> dict[str, object]:
    """Return what was measured, in the words that the peers' script uses."""
    count = len(report.executions)
    return {
        "executor": "climate-ref-prefect local",
        "work": work,
        "count": count,
        "workers": workers,
        "seconds": round(report.running_seconds, 3),
        "ms_per_execution": round(report.running_seconds / count * 1000, 1),
        "recorded_seconds": round(report.recorded.seconds, 3),
        "task_runs": report.recorded.finished,
        "task_runs_recorded": report.recorded.recorded,
        "isolation": "process",
        "succeeded": report.succeeded,
        "coordinator_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "climate_ref_prefect": __version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Time climate-ref-prefect.")
    parser.add_argument("--work", choices=("noop", "real"), required=True)
    parser.add_argument("--count", type=int, default=200, help="executions; `real` always runs all models")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        report = measure(options.work, options.count, options.workers, Path(root))
    print(json.dumps(describe(report, options.work, options.workers)))


if __name__ == "__main__":
    main()

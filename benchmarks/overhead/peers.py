"""Time climate-ref's own executors on the benchmark's work and print one JSON line.

Run it inside the peer environment (`pip install --no-deps -r peers_requirements.txt`).

What is counted: from the first `executor.run` until `executor.join` has returned, by which time
climate-ref has copied and ingested every result. What is not counted, to the peers' advantage:
imports, database migration, registration, the rows of `execution`, and the executor's
constructor (given apart as `construct_seconds`; Parsl starts its pool there). `load_before` is
the machine's one-minute load before the run. Times taken beside other work are not to be compared:
`LocalExecutor`, which imports climate-ref again for each execution, suffers most.

climate-ref and everything heavy is imported inside functions: the children that `LocalExecutor`
spawns import this file again, and climate-ref reads its environment when it is imported.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from climate_ref_core.executor import Executor
    from peers_ref import Submission, Work

HERE = Path(__file__).resolve().parent
ISOLATION = {"synchronous": "none", "hpc": "shared worker", "local": "process"}
WORK = ("noop", "real")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Parameters
    ----------
    arguments
        Words of the command line, those of this process by default.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--executor", choices=sorted(ISOLATION), required=True)
    parser.add_argument("--work", choices=WORK, required=True)
    parser.add_argument("--count", type=int, required=True, help="number of executions")
    parser.add_argument("--workers", type=int, default=2, help="ignored by synchronous")
    parser.add_argument("--data", type=Path, help="DRS tree (default: esmvaltool-sample-data)")
    parser.add_argument("--workdir", type=Path, help="keep climate-ref's files in a new directory here")
    options = parser.parse_args(arguments)
    if options.count < 1 or options.workers < 1:
        parser.error("--count and --workers must be at least 1")
    return options


def prepare_environment(root: Path) -> None:
    """Point this process and its children at a private configuration, offline, and at this folder.

    Parameters
    ----------
    root
        Empty directory for the database, scratch, results and logs.
    """
    os.environ["REF_CONFIGURATION"] = str(root)
    os.environ["REF_DATASET_CACHE_DIR"] = str(root / "cache")
    os.environ["REF_IGNORE_DATASETS_URL"] = ""
    for name in ("REF_DATABASE_URL", "REF_EXECUTOR", "REF_DIAGNOSTIC_PROVIDERS"):
        os.environ.pop(name, None)
    for name, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", HERE)):
        rest = os.environ.get(name)
        os.environ[name] = f"{first}{os.pathsep}{rest}" if rest else str(first)


def choose_work(kind: str, count: int, data: Path | None) -> "Work":
    """Pick the model and the files of each execution, starting over when models run out.

    Parameters
    ----------
    kind
        `noop` (names only) or `real`.
    count
        Number of executions.
    data
        Root of a DRS tree, or None for the installed sample data.
    """
    if kind == "noop":
        return [("none", [Path("none.nc")])] * count
    from real_work import monthly_historical_ta, sample_data_root  # noqa: PLC0415

    models = list(monthly_historical_ta(data or sample_data_root()).items())
    return [models[index % len(models)] for index in range(count)]


def run_all(executor: "Executor", submissions: "list[Submission]") -> float:
    """Submit everything and wait for it.

    Parameters
    ----------
    executor
        A started climate-ref executor.
    submissions
        Definition and row of each execution.

    Returns
    -------
    :
        Seconds from the first submit until `join` returned.
    """
    start = time.perf_counter()
    for definition, execution in submissions:
        executor.run(definition=definition, execution=execution)
    executor.join(timeout=0)
    return time.perf_counter() - start


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Run one benchmark case.

    Parameters
    ----------
    options
        The command line.
    root
        Empty directory for everything that climate-ref writes.

    Returns
    -------
    :
        The values to print; times in seconds or, as named, in ms.
    """
    prepare_environment(root)
    import peers_ref  # noqa: PLC0415

    work = choose_work(options.work, options.count, options.data)
    config, database, diagnostic = peers_ref.open_climate_ref(options.executor, options.work, options.workers, root)
    load_before = os.getloadavg()[0]
    with database:
        submissions = peers_ref.create_executions(config, database, diagnostic, work)
        started = time.perf_counter()
        executor = config.executor.build(config, database)
        construct_seconds = time.perf_counter() - started
        seconds = run_all(executor, submissions)
    peers_ref.close_pool(executor)
    succeeded = peers_ref.count_successes(config, options.work)
    return {
        "executor": options.executor,
        "work": options.work,
        "count": options.count,
        "workers": 1 if options.executor == "synchronous" else options.workers,
        "seconds": round(seconds, 3),
        "ms_per_execution": round(seconds * 1000.0 / options.count, 2),
        "construct_seconds": round(construct_seconds, 3),
        "load_before": round(load_before, 2),
        "isolation": ISOLATION[options.executor],
        "succeeded": succeeded,
        "climate_ref": importlib.metadata.version("climate-ref"),
        "python": platform.python_version(),
    }


def main() -> int:
    """Print the JSON line; the exit status is 1 unless every execution succeeded."""
    options = parse_arguments()
    if options.workdir:
        options.workdir.mkdir(parents=True, exist_ok=True)
        report = measure(options, Path(tempfile.mkdtemp(prefix="peer-", dir=options.workdir.resolve())))
    else:
        with tempfile.TemporaryDirectory(prefix="peer-") as directory:
            report = measure(options, Path(directory))
    print(json.dumps(report), flush=True)
    return 0 if report["succeeded"] == options.count else 1


if __name__ == "__main__":
    sys.exit(main())

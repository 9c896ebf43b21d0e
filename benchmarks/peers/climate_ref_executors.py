"""
Run executions by one of climate-ref's own executors, in an environment that has it, and print how many succeed.

    python -m benchmarks.peers.climate_ref_executors --executor EXECUTOR --work WORK --count COUNT

`REF_CONFIGURATION` names an empty directory for everything that climate-ref writes. What is imported stays inside a
function, for the children that `LocalExecutor` spawns import this file again.
"""

import argparse
import os
from pathlib import Path

WORKERS = 2


def run(executor: str, work: str, count: int) -> int:
    """Write the rows of so many executions, as `ref solve` does, have them run, and return how many succeed."""
    from benchmarks.peers import climate_ref_rows as rows  # noqa: PLC0415
    from benchmarks.peers.tasks import choose_models  # noqa: PLC0415

    root = Path(os.environ["REF_CONFIGURATION"])
    models = [("none", [Path("none.nc")])] * count if work == "noop" else choose_models(count)
    config, database, diagnostic = rows.open_climate_ref(executor, work, WORKERS, root)
    with database:
        submissions = rows.create_executions(config, database, diagnostic, models)
        built = config.executor.build(config, database)
        for definition, execution in submissions:
            built.run(definition=definition, execution=execution)
        built.join(timeout=0)
    rows.close_pool(built)
    return rows.count_successes(config, work)


def main() -> None:
    """Read the command line, run the executions, print."""
    parser = argparse.ArgumentParser(description="Run executions by climate-ref's own executors.")
    parser.add_argument("--executor", choices=("synchronous", "local", "hpc"), required=True)
    parser.add_argument("--work", choices=("noop", "real"), required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    print(run(options.executor, options.work, options.count), "succeeded", flush=True)


if __name__ == "__main__":
    main()

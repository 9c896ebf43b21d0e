"""
Run tasks by one library, two at a time, in the environment of the peers, and print how many have succeeded.

    python -m benchmarks.peers.programs LIBRARY WORK COUNT

Each library is used as its documentation says for a pool of two workers on one machine.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.bare_forks import run_in_forks
from benchmarks.peers.prefect_flow import run_flow
from benchmarks.peers.tasks import Task, make_tasks, run_task

WORKERS = 2
_POLL_SECONDS = 0.05
"""How often to look whether a job of submitit has ended, which by itself looks once a second."""


def forks(tasks: Sequence[Task], directory: Path) -> int:
    """Fork a child for each task, of a process that has computed one."""
    if tasks[0][0]:
        warm_up = directory / "warm-up"
        warm_up.mkdir()
        run_task((tasks[0][0], str(warm_up)))
    return run_in_forks(run_task, tasks, WORKERS)


def dask(tasks: Sequence[Task], directory: Path) -> int:
    """Use a local cluster of Dask."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    cluster = LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, local_directory=str(directory)
    )
    with cluster, Client(cluster) as client:
        return len(client.gather(client.map(run_task, tasks, pure=False)))


def parsl(tasks: Sequence[Task], directory: Path) -> int:
    """Use Parsl's `HighThroughputExecutor`."""
    import parsl as library  # noqa: PLC0415
    from parsl.config import Config  # noqa: PLC0415
    from parsl.executors import HighThroughputExecutor  # noqa: PLC0415
    from parsl.providers import LocalProvider  # noqa: PLC0415

    pool = HighThroughputExecutor(
        label="pool",
        address="127.0.0.1",
        max_workers_per_node=WORKERS,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    with library.load(Config(run_dir=str(directory), executors=[pool])):
        app = library.python_app(run_task)
        return len([future.result() for future in [app(task) for task in tasks]])


def prefect_threads(tasks: Sequence[Task], directory: Path) -> int:
    """Use a flow with Prefect's task runner of threads."""
    return run_flow(tasks, "ThreadPoolTaskRunner", WORKERS, directory)


def prefect_processes(tasks: Sequence[Task], directory: Path) -> int:
    """Use a flow with Prefect's task runner of processes."""
    return run_flow(tasks, "ProcessPoolTaskRunner", WORKERS, directory)


def submitit(tasks: Sequence[Task], directory: Path) -> int:
    """Use submitit's local executor, which has no queue: jobs are submitted when one of two has ended."""
    import submitit as library  # noqa: PLC0415

    executor = library.AutoExecutor(folder=directory / "jobs", cluster="local")

    async def run_one(task: Task, free: asyncio.Semaphore) -> float:
        async with free:
            return float(await executor.submit(run_task, task).awaitable().result(poll_interval=_POLL_SECONDS))

    async def run() -> int:
        free = asyncio.Semaphore(WORKERS)
        return len(await asyncio.gather(*(run_one(task, free) for task in tasks)))

    return asyncio.run(run())


LIBRARIES: dict[str, Callable[[Sequence[Task], Path], int]] = {
    "forks": forks,
    "dask": dask,
    "parsl": parsl,
    "prefect-threads": prefect_threads,
    "prefect-processes": prefect_processes,
    "submitit": submitit,
}


def main() -> None:
    """Read the command line, run the tasks, print."""
    parser = argparse.ArgumentParser(description="Run tasks by one library.")
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("work", choices=("noop", "real"))
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        tasks = make_tasks(options.work, options.count, directory / "out")
        print(LIBRARIES[options.library](tasks, directory), "succeeded", flush=True)


if __name__ == "__main__":
    main()

"""
The pilot of a batch job: a Dask worker whose executions outlive the connection to their coordinator.

The job script starts it as `python -m climate_ref_prefect.transports.batch.dask.pilot_worker SCHEDULER OPTIONS`, with
the options that dask-jobqueue writes. It imports neither Prefect nor a database.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Worker
from distributed.security import Security

from climate_ref_prefect.execution.host.python_search_path import adopt_search_path
from climate_ref_prefect.execution.worker.active_executions import OF_THIS_PROCESS as EXECUTIONS
from climate_ref_prefect.transports.batch.dask.pilot_messages import NO_COORDINATOR, NO_KEYS

_LAST_WORDS_SECONDS: Final = 20.0
"""How long executions may take to write an outcome after the job got SIGTERM. Schedulers allow about as much."""
STARTED: Final = "CLIMATE_REF_PREFECT_JOB_STARTED"
"""Environment variable with the start of the job, in seconds since the epoch."""
_CONFIGURATION: Final = {
    # Dask's own memory manager counts only its own process, not the child that computes.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


class _Worker(Worker):
    """A Dask worker that disconnects without waiting for its executions, because `main` waits for them."""

    async def close(self, **options: Any) -> str | None:  # type: ignore[override]
        """Close, even if executions still run."""
        return await super().close(**{**options, "executor_wait": False})


def main(arguments: list[str] | None = None) -> None:
    """Serve a coordinator until it disconnects or the job gets a signal, then wait for the running executions."""
    options = _parse(arguments)
    adopt_search_path()
    with dask.config.set(_CONFIGURATION):
        told_to_end = asyncio.run(_serve(options))
    if told_to_end:
        EXECUTIONS.end_all()
        EXECUTIONS.wait_until_none(_LAST_WORDS_SECONDS)
    else:
        _end_on_signal()
        if not options.outlive_coordinator:
            EXECUTIONS.cancel_all()
        EXECUTIONS.wait_until_none()
    EXECUTIONS.close_servers()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="climate-ref-prefect pilot")
    parser.add_argument("scheduler", help="address of the coordinator's Dask scheduler")
    parser.add_argument("--name", required=True)
    parser.add_argument("--nthreads", type=int, default=1, help="executions at a time")
    parser.add_argument("--death-timeout", type=float, help="seconds to look for the coordinator")
    parser.add_argument("--local-directory")
    parser.add_argument("--interface")
    parser.add_argument("--protocol")
    parser.add_argument("--memory-limit", help="ignored: the execution's supervisor and the scheduler watch memory")
    parser.add_argument("--outlive-coordinator", action="store_true", help="finish what runs when the coordinator ends")
    for name in ("ca-file", "cert", "key"):
        parser.add_argument(f"--tls-{name}")
    return parser.parse_args(arguments)


def _security(options: argparse.Namespace) -> Security:
    if options.tls_ca_file is None:
        return Security()
    try:
        for path in (options.tls_ca_file, options.tls_cert, options.tls_key):
            Path(path).read_bytes()
    except OSError as error:
        sys.exit(f"{NO_KEYS}: {error}. Is this node without the transport's `shared_directory`?")
    return Security(
        tls_ca_file=options.tls_ca_file,
        tls_worker_cert=options.tls_cert,
        tls_worker_key=options.tls_key,
        require_encryption=True,
    )


async def _serve(options: argparse.Namespace) -> bool:
    """Work for the coordinator until the end. Returns whether a signal caused it."""
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    worker = _Worker(
        options.scheduler,
        name=options.name,
        nthreads=options.nthreads,
        memory_limit=0,
        death_timeout=options.death_timeout,
        local_directory=options.local_directory,
        interface=options.interface,
        protocol=options.protocol,
        security=_security(options),
        dashboard=False,
        dashboard_address="127.0.0.1:0",  # TLS does not protect Dask's dashboard
        startup_information={"job_age_seconds": _job_age_seconds},
    )
    ends = [asyncio.ensure_future(signalled.wait()), asyncio.ensure_future(_until_finished(worker))]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if signalled.is_set():
        EXECUTIONS.end_all()  # First of all, because the scheduler will kill the job soon.
    else:
        ends[1].result()
    return signalled.is_set()


def _job_age_seconds(worker: Worker) -> float:
    """Return the age of the job since the first line of its script, because the prologue may take minutes."""
    started = float(os.environ.get(STARTED, "nan"))
    return max(0.0, time.time() - started) if started == started else 0.0  # noqa: PLR0124 - that is what is no number


async def _until_finished(worker: Worker) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await worker
        await worker.finished()


def _end_on_signal() -> None:
    def end(number: int, frame: object) -> None:
        EXECUTIONS.end_all()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


if __name__ == "__main__":
    try:
        main()
    except TimeoutError as error:
        sys.exit(f"{NO_COORDINATOR}: {error}")

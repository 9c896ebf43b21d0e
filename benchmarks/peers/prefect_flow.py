"""Tasks of a plain Prefect flow, with a server that runs meanwhile and has recorded every task run in the end."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.tasks import Task, run_task

_SERVER_SECONDS = 300.0
_RECORDED_SECONDS = 120.0
_INTERVAL_SECONDS = 0.1
_TAIL_CHARACTERS = 3000


def run_flow(tasks: Sequence[Task], runner: str, workers: int, directory: Path) -> int:
    """
    Run tasks in a flow, and wait until the server shows all of them as completed.

    Parameters
    ----------
    tasks
        What to run.
    runner
        Name of the task runner's class.
    workers
        How many tasks run at once.
    directory
        For the log of the server.
    """
    with _server(directory / "server.log") as api:
        os.environ["PREFECT_API_URL"] = api  # Prefect reads its settings when it is imported.
        import prefect.runtime  # noqa: PLC0415
        from prefect import flow, task, task_runners  # noqa: PLC0415

        step = task(run_task)

        @flow(task_runner=getattr(task_runners, runner)(max_workers=workers))
        def run() -> tuple[str, int]:
            results = [future.result() for future in [step.submit(one) for one in tasks]]
            return str(prefect.runtime.flow_run.id), len(results)

        flow_run, succeeded = run()
        _wait_until_recorded(api, flow_run, succeeded)
    return succeeded


@contextmanager
def _server(log: Path) -> Iterator[str]:
    """Start a server as `prefect server start` does, give the address of its API, and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    api = f"http://127.0.0.1:{port}/api"
    with log.open("w", encoding="utf-8") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_until_up(server, api)
        yield api
    except BaseException:
        said = log.read_text(encoding="utf-8")[-_TAIL_CHARACTERS:]
        sys.stderr.write(f"The server said:\n{said}\n")
        raise
    finally:
        server.terminate()
        server.wait()


def _wait_until_up(server: "subprocess.Popen[bytes]", api: str) -> None:
    deadline = time.monotonic() + _SERVER_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{api}/health", timeout=10):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(_INTERVAL_SECONDS)
    raise RuntimeError(f"The server does not answer; its exit code: {server.poll()}")


def _wait_until_recorded(api: str, flow_run: str, count: int) -> None:
    """Prefect's server records task runs from events, which may come after the flow has ended."""
    filters = {
        "flow_runs": {"id": {"any_": [flow_run]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    recorded = 0
    deadline = time.monotonic() + _RECORDED_SECONDS
    while time.monotonic() < deadline:
        recorded = _post(f"{api}/task_runs/count", filters)
        if recorded == count:
            return
        time.sleep(_INTERVAL_SECONDS)
    raise RuntimeError(f"The server has recorded {recorded} of {count} task runs")


def _post(address: str, body: Mapping[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)

"""Working with deployments as people do: with the command `prefect`, and with a worker."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, SERIES
from climate_ref_prefect.execution.host.process_tree import end_with_parent
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.run_log import NOTES

ROOT = Path(__file__).resolve().parents[2]
POOL = "climate-ref"
OF_REF = "deployments/climate-ref.yaml"
MODELS = ("CanESM5", "MIROC6", "TaiESM1")
_PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")
_RUN_SECONDS = 150.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Result:
    """What came of one execution: its files, and the numbers in the database."""

    metrics: bytes
    series: bytes
    scalars: frozenset[tuple[tuple[tuple[str, str], ...], float | None]]


class Work:
    """
    A checkout whose deployments are on the server, and the state directory of the worker that runs them.

    Parameters
    ----------
    checkout
        Where `prefect deploy` was called.
    home
        The state directory, which the worker has in its environment.
    worker_pid
        The worker's process.
    """

    def __init__(self, checkout: Path, home: Path, worker_pid: int) -> None:
        self.checkout = checkout
        self.home = home
        self.worker_pid = worker_pid

    def run(self, deployment: str, *parameters: str) -> FlowRun:
        """Start a deployment from the command line and wait until a worker has run it."""
        return wait_for_end(self.start(deployment, *parameters))

    def start(self, deployment: str, *parameters: str) -> UUID:
        """Start a deployment from the command line."""
        options = [part for parameter in parameters for part in ("--param", parameter)]
        said = prefect("deployment", "run", deployment, *options)
        found = re.search(r"UUID: ([0-9a-f-]{36})", said)
        assert found, said
        return UUID(found[1])


def prefect(*arguments: str, directory: Path | None = None) -> str:
    """Run the command `prefect` and return what it says; fails where it does."""
    ended = subprocess.run([*_PREFECT, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"prefect {' '.join(arguments)}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def deploy(checkout: Path) -> None:
    """Create the pool, and from a checkout's files its deployments."""
    (checkout / OF_REF).parent.mkdir(parents=True)
    for file in ("prefect.yaml", OF_REF):
        shutil.copy(ROOT / file, checkout / file)
    prefect("work-pool", "create", POOL, "--type", "process")
    prefect("deploy", "--all", directory=checkout)
    prefect("deploy", "--all", "--prefect-file", OF_REF, directory=checkout)


@contextmanager
def worker(home: Path, log: Path) -> Iterator[int]:
    """Run a process worker with this state directory in its environment, and give its pid."""
    notes = notes_of(home)
    notes.mkdir()
    environment = {
        **os.environ,
        "CLIMATE_REF_PREFECT_HOME": str(home),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(ROOT),  # where the providers of tests are
        NOTES: str(notes),
    }
    command = [*_PREFECT, "worker", "start", "--pool", POOL, "--type", "process", "--limit", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - nothing else runs yet that holds a lock
        )
    try:
        yield process.pid
        assert process.poll() is None, f"the worker has ended:\n{log.read_text()}"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def notes_of(home: Path) -> Path:
    """Return where providers of tests that a worker runs leave their notes."""
    return home.with_name(f"{home.name}-notes")


def wait_for_end(flow_run_id: UUID) -> FlowRun:
    """Wait until a flow run is in a final state."""
    with get_client(sync_client=True) as client:

        def ended() -> FlowRun | None:
            run = client.read_flow_run(flow_run_id)
            return run if run.state is not None and run.state.is_final() else None

        return wait_until(ended, _RUN_SECONDS) or client.read_flow_run(flow_run_id)


def link_models(tree: Path) -> Path:
    """Make a tree of links to the monthly sample data of three models."""
    root = sample_data_root()
    for model in MODELS:
        for file in sorted(root.glob(f"CMIP6/CMIP/*/{model}/*/*/Amon/**/*.nc")):
            link = tree / file.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return tree


def results(home: Path, diagnostic: str) -> dict[str, Result]:
    """Return what a state directory holds of a diagnostic, by the label of the execution."""
    with open_store(f"sqlite:///{home / 'climate-ref-prefect.db'}") as store:
        rows = [row for row in store.executions() if row.diagnostic == diagnostic]
        return {row.label: _result(store, row) for row in rows}


def _result(store: Store, row: ExecutionRow) -> Result:
    assert row.successful, row
    directory = Path(row.results_path or "")
    return Result(
        metrics=(directory / METRIC_BUNDLE).read_bytes(),
        series=(directory / SERIES).read_bytes(),
        scalars=frozenset(
            (tuple(sorted(scalar.dimensions.items())), scalar.value) for scalar in store.scalars([row.execution_id])
        ),
    )

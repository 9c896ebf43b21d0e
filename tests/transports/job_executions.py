"""Executions that run in batch jobs, for tests that end these jobs."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome, Telemetry
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Driving, kind_of, message_of
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Queue, Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits

PILOT = "climate_ref_prefect.transports.batch.dask.pilot_worker"
PATIENT = Allowances(timeout_seconds=60, close_seconds=20)
Open = Callable[..., Driving]


@contextmanager
def opening(kind: type[BatchTransport], shared: Path, **always: Any) -> Iterator[Open]:
    """Open transports with some settings of their own; in the end, close them and see that no process is left."""
    opened: list[Driving] = []

    def open_one(queue: str | None = None, rules: dict[str, Any] | None = None, **settings: Any) -> Driving:
        sizing = {"headroom_mb": 512, "queues": (Queue(name=queue),) if queue else (), **settings.pop("sizing", {})}
        transport = settings.pop("kind", kind)(
            rules=PoolLimits(**{"max_jobs": 4, "poll_seconds": 1, "idle_seconds": 5, **(rules or {})}),
            sizing=Sizing(**sizing),
            shared_directory=shared,
            interface="lo",
            outcome_patience_seconds=1,
            **{**always, **settings},
        )
        opened.append(Driving(transport, PATIENT))
        return opened[-1]

    yield open_one
    for driving in opened:
        driving.close()
    wait_until(lambda: not running_with(PILOT, shared))


class Running:
    """An execution that has started in a job and waits for the signal to go on."""

    def __init__(self, driving: Driving, prepare: Prepare, **options: Any) -> None:
        self.directory, resources = prepare("wait-to-go", **options)
        self.future: Future[ExecutionOutcome] = driving.start(self.directory, resources)
        driving.wait_for(self.directory / "output" / "started")
        telemetry = wait_until(self._measured)
        self.job_id = str(telemetry.transport_meta["job_id"])
        self.node = str(telemetry.transport_meta.get("node", ""))

    def _measured(self) -> Telemetry | None:
        telemetry = ExecutionDirectory(self.directory).read_telemetry()
        return telemetry if telemetry and telemetry.peak_rss_mb else None

    def go_on(self) -> None:
        """Let it end well."""
        (self.directory / "output" / "go").touch()

    def outcome(self) -> ExecutionOutcome:
        """Return how it ended."""
        return self.future.result(PATIENT.timeout_seconds)

    def assert_ended(self, kind: FailureKind, words: str) -> ExecutionOutcome:
        """Assert that it ended with its job, has the scheduler's message, and that its telemetry is kept."""
        outcome = self.outcome()
        assert kind_of(outcome) is kind, outcome.failure
        assert f"job {self.job_id} ended" in message_of(outcome)
        assert words in message_of(outcome)
        meta = outcome.telemetry.transport_meta
        assert (meta["job_id"], meta["job_cpu"]) == (self.job_id, 1)
        assert outcome.telemetry.peak_rss_mb > 0
        return outcome

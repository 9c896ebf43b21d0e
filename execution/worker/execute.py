"""`execute(directory)`: the one function that every transport calls, here or on a node."""

import atexit
import socket
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.provider_server_client import ProviderImportError, ProviderServer
from climate_ref_prefect.execution.worker.running_execution import RunningExecution
from climate_ref_prefect.execution.worker.supervisor_process import claim_or_refuse, refuse, refuse_unreadable

ENVELOPE_TIMEOUT_SECONDS = 90.0
"""How long a shared file system may take to show an envelope: attribute caches last 60 s."""
_ANSWER_SECONDS = 45.0
"""How long, beyond the grace, a supervisor may take to answer once it has been asked to end.

Waiting for a process that hangs takes it 30 s.
"""
_Key = tuple[ProviderReference, int]


class PoolClosedError(ClimateRefPrefectError):
    """The pool was closed while a caller waited for one of its servers."""


class ServerPool:
    """
    The warm servers of this process, one per provider and thread count, started when first needed.

    A provider that could not be imported is not imported again, because each of its executions would wait for the
    deadline. One whose process was killed meanwhile is.
    """

    def __init__(self) -> None:
        self._servers: dict[_Key, ProviderServer] = {}
        self._failed: dict[_Key, ProviderImportError] = {}
        self._lock = threading.Lock()
        self._key_locks: dict[_Key, threading.Lock] = {}
        self._closed = False

    def start(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> RunningExecution:
        """
        Start an execution. Returns at once, except for the first one of a provider, whose import it waits for.

        Raises
        ------
        ProviderImportError
            If the provider cannot be imported, or could not be at an earlier attempt.
        """
        server = self.server(envelope.provider, envelope.resources.cpu, envelope.limits.import_deadline_seconds)
        return _execute(server, directory, envelope)

    def start_if_ready(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> RunningExecution | None:
        """Start an execution, unless its provider would have to be imported first."""
        server = self._servers.get((envelope.provider, envelope.resources.cpu))
        if server is None or not server.ready or not server.alive:
            return None
        return _execute(server, directory, envelope)

    def begin_import(self, reference: ProviderReference, cpu: int) -> None:
        """Start the server of a provider if it does not run, and do not wait for the import: `server` does."""
        key = (reference, cpu)
        with self._key_lock(key):
            if key not in self._failed:
                self._running(key)

    def server(self, reference: ProviderReference, cpu: int, import_deadline_seconds: float) -> ProviderServer:
        """Return the server of a provider and start it if it does not run. Raises what `start` raises."""
        key = (reference, cpu)
        with self._key_lock(key):
            if key in self._failed:
                raise self._failed[key]
            server = self._running(key)
            if server.ready:
                return server
            try:
                server.wait_until_ready(import_deadline_seconds)
            except ProviderImportError as error:
                with self._lock:
                    self._servers.pop(key, None)
                if not FAILURE_RULES[error.failure.kind].decision.is_retry:
                    self._failed[key] = error
                raise
            return server

    def _key_lock(self, key: _Key) -> threading.Lock:
        # One for each, so that a provider whose import hangs does not delay the others.
        with self._lock:
            return self._key_locks.setdefault(key, threading.Lock())

    def _running(self, key: _Key) -> ProviderServer:
        present = self._servers.get(key)
        # One that has ended before anybody has waited for its import says why when somebody does.
        if present is not None and (present.alive or not present.ready):
            return present
        if present is not None:
            present.close()
        with self._lock:
            if self._closed:
                raise PoolClosedError("No provider is started any more.")
            self._servers[key] = ProviderServer(*key)
            return self._servers[key]

    @property
    def closed(self) -> bool:
        """Whether the pool has been closed and starts nothing any more."""
        return self._closed

    def keep(self, wanted: Collection[tuple[ProviderReference, int]]) -> None:
        """End all servers except those for these providers and thread counts."""
        with self._lock:
            unwanted = [self._servers.pop(key) for key in list(self._servers) if key not in wanted]
        for server in unwanted:
            server.close()

    def close(self) -> None:
        """End all servers and refuse to start others."""
        with self._lock:
            self._closed = True
            servers = list(self._servers.values())
        for server in servers:
            server.close()


_pool = ServerPool()
atexit.register(_pool.close)


def execute(directory: Path | str, pool: ServerPool | None = None) -> ExecutionOutcome:
    """
    Run the execution whose envelope lies in a directory. Returns the outcome, which has also been written to its file.

    Parameters
    ----------
    directory
        `<scratch>/<fragment>`, as this host sees it.
    pool
        The pool whose servers to use; by default the pool of this process.
    """
    begun = begin(ExecutionDirectory(Path(directory)), pool or _pool, ENVELOPE_TIMEOUT_SECONDS)
    return finish(begun) if isinstance(begun, RunningExecution) else begun


def begin(
    directory: ExecutionDirectory, pool: ServerPool, envelope_timeout_seconds: float = 0.0
) -> RunningExecution | ExecutionOutcome:
    """Start an execution. If it cannot be started, return the outcome that says why."""
    try:
        envelope = directory.read_envelope(envelope_timeout_seconds)
        return pool.start(directory, envelope)
    except ProviderImportError as error:
        return _fail_import(directory, envelope, error)
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits for the execution must hear of it
        return refuse_unreadable(error)


def begin_if_ready(directory: ExecutionDirectory, pool: ServerPool) -> RunningExecution | None:
    """
    Start an execution if that can be done at once.

    Returns None if the provider would have to be imported first, or if `begin` will have to report what is wrong.
    """
    try:
        return pool.start_if_ready(directory, directory.read_envelope())
    except (OSError, ValueError, ClimateRefPrefectError):
        return None


def finish(running: RunningExecution) -> ExecutionOutcome:
    """Return the outcome of an execution whose supervisor has ended or is about to end."""
    try:
        return running.outcome() or _supervisor_died(running)
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        return refuse_unreadable(error)


def _fail_import(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, error: ProviderImportError
) -> ExecutionOutcome:
    """Write the outcome of an execution whose provider cannot be imported, and its log with what the import printed."""
    outcome = ExecutionOutcome(execution_id=envelope.execution_id, failure=error.failure)
    with suppress(OSError):  # The disk is full: the caller gets the outcome although its file cannot be written.
        refused = claim_or_refuse(directory, envelope)
        if refused is not None:
            return refused
        directory.log.write_text(f"{error.failure.message}\n{error.failure.details}\n", encoding="utf-8")
        directory.write_outcome(outcome)
    return outcome


def _execute(server: ProviderServer, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> RunningExecution:
    running = server.execute(directory)
    limits = envelope.limits
    longest = limits.import_deadline_seconds + envelope.resources.wall_clock_seconds + limits.describe_deadline_seconds
    running.expect(longest, grace_seconds=limits.kill_grace_seconds + _ANSWER_SECONDS)
    return running


def _supervisor_died(running: RunningExecution) -> ExecutionOutcome:
    """Return the outcome of an execution whose supervisor was killed. Its child died with it."""
    directory = running.directory
    kind, message = FailureKind.WORKER_LOST, "The supervisor of the execution died without an outcome."
    if running.was_forced:
        kind = FailureKind.CANCELLED if running.was_cancelled else FailureKind.WORKER_LOST
        message = f"Its supervisor (process {running.pid} of {socket.gethostname()}) did not answer and was killed."
    telemetry = directory.last_telemetry()
    if running.survivors:
        message += f" These processes could not be ended: {', '.join(map(str, running.survivors))}."
        meta = {**telemetry.transport_meta, "unkillable_pids": list(running.survivors)}
        telemetry = telemetry.model_copy(update={"transport_meta": meta})
    return refuse(directory.read_envelope(), kind, message).model_copy(update={"telemetry": telemetry})

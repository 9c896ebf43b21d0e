"""`execute(directory)`: the one function that every transport calls, here or on a node."""

import atexit
import threading
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope, ProviderReference
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, ExecutionOutcome, FailureKind
from climate_ref_prefect.transports.worker.client import ProviderImportError, ProviderServer, RunningExecution
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory

ENVELOPE_PATIENCE_SECONDS = 90.0
"""How long a shared file system may take to show an envelope: attribute caches last 60 s."""
_Key = tuple[ProviderReference, int]


class ServerPool:
    """
    The warm servers of this process, one per provider and thread count, started when first needed.

    A provider that could not be imported is not tried again: each of its executions would wait for the deadline.
    """

    def __init__(self) -> None:
        self._servers: dict[_Key, ProviderServer] = {}
        self._failed: dict[_Key, ProviderImportError] = {}
        self._lock = threading.Lock()
        self._key_locks: dict[_Key, threading.Lock] = {}

    def start(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> RunningExecution:
        """
        Start an execution; returns at once, but for the first of a provider.

        Raises
        ------
        ProviderImportError
            If the provider cannot be imported, now or at an earlier try.
        """
        return self.server(envelope.provider, envelope.resources.cpu, envelope.limits.import_deadline_seconds).execute(
            directory
        )

    def server(self, reference: ProviderReference, cpu: int, import_deadline_seconds: float) -> ProviderServer:
        """Return the server of a provider, started if need be; raises as `start` does."""
        key = (reference, cpu)
        with self._lock:
            key_lock = self._key_locks.setdefault(key, threading.Lock())
        with key_lock:  # a provider that hangs while it is imported keeps nobody else waiting
            if key in self._failed:
                raise self._failed[key]
            server = self._servers.get(key)
            if server is not None and server.alive:
                return server
            server = self._servers[key] = ProviderServer(reference, cpu)
            try:
                server.wait_until_ready(import_deadline_seconds)
            except ProviderImportError as error:
                self._failed[key] = error
                raise
            return server

    def close(self) -> None:
        """End all servers; the pool may be used again afterwards."""
        for server in list(self._servers.values()):
            server.close()
        self._servers.clear()
        self._failed.clear()


_pool = ServerPool()
atexit.register(_pool.close)


def execute(directory: Path | str, pool: ServerPool | None = None) -> ExecutionOutcome:
    """
    Run the execution whose envelope lies in a directory, and return its outcome, which is then in its file, too.

    Parameters
    ----------
    directory
        `<scratch>/<fragment>`, seen from here.
    pool
        Whose servers to use; this process's own if left out.
    """
    own = ExecutionDirectory(Path(directory))
    envelope = own.read_envelope(ENVELOPE_PATIENCE_SECONDS)
    try:
        running = (pool or _pool).start(own, envelope)
    except ProviderImportError as error:
        return fail_import(own, envelope, error)
    return running.outcome() or supervisor_died(envelope)


def fail_import(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, error: ProviderImportError
) -> ExecutionOutcome:
    """Leave the outcome of an execution whose provider cannot be imported, and what the import printed in its log."""
    outcome = ExecutionOutcome(execution_id=envelope.execution_id, failure=error.failure)
    directory.log.write_text(f"{error.failure.message}\n{error.failure.details}\n")
    directory.write_outcome(outcome)
    return outcome


def supervisor_died(envelope: ExecutionEnvelope) -> ExecutionOutcome:
    """Return the outcome of an execution whose supervisor was itself killed; its child died with it."""
    failure = ExecutionFailure(
        kind=FailureKind.WORKER_LOST, message="The supervisor of the execution died without an outcome."
    )
    return ExecutionOutcome(execution_id=envelope.execution_id, failure=failure)

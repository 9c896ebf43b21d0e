"""The writer of the recorder in memory, valid until another coordinator takes over."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.store.directory_names import new_fragment
from climate_ref_prefect.store.errors import LeaseLostError, NotCoordinatingError, UnknownExecutionError
from climate_ref_prefect.store.memory_tables import MemoryTables, recorded_results
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    ExecutionStatus,
    Finalisation,
    address_of,
)
from climate_ref_prefect.store.publish_results import verify_output
from climate_ref_prefect.store.query_results import ExecutionRow, final_values
from climate_ref_prefect.store.read_results import check_vocabulary, read_results
from climate_ref_prefect.store.result_refusals import refusals_explained, require_bundles


class MemoryWriter:
    """
    The `Writer` of a `MemoryRecorder`; see `Writer` for what its methods raise.

    Parameters
    ----------
    name
        Name of the recorder, for messages.
    tables
        The tables to write to.
    vocabulary
        The vocabulary that results are checked against.
    vocabulary_is_strict
        Whether a mismatch is refused; otherwise it is a warning.
    """

    def __init__(self, name: str, tables: MemoryTables, vocabulary: Vocabulary, *, vocabulary_is_strict: bool) -> None:
        self._name = name
        self._tables = tables
        self._vocabulary = vocabulary
        self._vocabulary_is_strict = vocabulary_is_strict
        self._lost: tuple[str, str] | None = None
        self._has_ended = False

    def end(self) -> None:
        """Refuse every write from now on, because the context of `coordinate` has ended."""
        self._has_ended = True

    def lose_lease(self, holder: str) -> None:
        """Refuse every write from now on, because another coordinator has taken over."""
        with self._tables.lock:
            self._lost = holder, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def confirm_lease(self) -> None:
        """Raise `LeaseLostError` if another coordinator has taken over."""
        self.raise_if_lease_lost()

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if another coordinator has taken over."""
        if self._lost is not None:
            raise LeaseLostError(self._name, holder=self._lost[0], since=self._lost[1])
        if self._has_ended:
            raise NotCoordinatingError(self._name)

    def allocate(self, batch: Sequence[Allocation]) -> tuple[AllocatedExecution, ...]:
        """Record a batch of attempts; their groups become dirty."""
        tables, now = self._tables, datetime.now(UTC)
        with tables.lock:
            self.raise_if_lease_lost()
            for allocation in batch:
                if allocation.replaces is not None and allocation.replaces not in tables.executions:
                    raise UnknownExecutionError(allocation.replaces)
            return tuple(self._allocate(allocation, now) for allocation in batch)

    def _allocate(self, allocation: Allocation, now: datetime) -> AllocatedExecution:
        tables, definition = self._tables, allocation.definition
        number = max(tables.definitions, default=0) + 1
        fragment = new_fragment(definition, now)
        tables.executions[number] = _row(number, fragment, allocation, now)
        tables.definitions[number] = definition
        tables.dirty[address_of(definition)] = True
        return AllocatedExecution(
            execution_id=number,
            fragment=fragment,
            definition=definition,
            resources=allocation.resources,
            attempt=allocation.attempt,
        )

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        """Record that an execution is handed to a transport, and the granted resources."""
        values = {"status": ExecutionStatus.DISPATCHED, "transport": transport, "asked": resources}
        with self._tables.lock:
            self.raise_if_lease_lost()
            self._tables.change_unfinished(execution_id, values)

    def publish(self, finished: FinishedExecution) -> None:
        """See that the results are what the worker left, and leave them where they are."""
        self.raise_if_lease_lost()
        require_bundles(finished)
        with refusals_explained():
            verify_output(ExecutionDirectory(finished.directory), finished.outcome.manifest, finished.output)

    def ingest(self, finished: FinishedExecution, published: Path | None) -> tuple[str, ...]:
        """Check the results against the vocabulary and record their values."""
        number = finished.execution_id
        with self._tables.lock, refusals_explained():
            self.raise_if_lease_lost()
            self._tables.execution(number)
            results = read_results(published or finished.output)
            warnings = check_vocabulary(results, self._vocabulary, strict=self._vocabulary_is_strict)
            self._tables.results.setdefault(number, recorded_results(number, results))
        return warnings

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        """Record how an attempt ended, and apply the dirty rule."""
        tables = self._tables
        with tables.lock:
            self.raise_if_lease_lost()
            values = {"status": ExecutionStatus.FINISHED, "finished_at": datetime.now(UTC)}
            if tables.change_unfinished(execution_id, values | final_values(finalisation)):
                tables.finalisations[execution_id] = finalisation
                if finalisation.clears_dirty:
                    tables.dirty[address_of(tables.definitions[execution_id])] = False

    def withdraw(self, execution_ids: Sequence[int]) -> None:
        """Remove attempts that no worker has begun with. Their numbers are not given again."""
        with self._tables.lock:
            self.raise_if_lease_lost()
            for number in execution_ids:
                row = self._tables.executions.get(number)
                if row is not None and row.status is not ExecutionStatus.FINISHED:
                    del self._tables.executions[number]


def _row(number: int, fragment: str, allocation: Allocation, now: datetime) -> ExecutionRow:
    provider, diagnostic, key = address_of(allocation.definition)
    return ExecutionRow(
        execution_id=number,
        provider=provider,
        diagnostic=diagnostic,
        key=key,
        attempt=allocation.attempt,
        status=ExecutionStatus.ALLOCATED,
        transport=None,
        asked=allocation.resources,
        successful=None,
        retryable=None,
        failure_kind=None,
        failure_message=None,
        duration_seconds=None,
        peak_rss_mb=None,
        telemetry_meta=None,
        fragment=fragment,
        created_at=now,
        finished_at=None,
        results_path=None,
    )

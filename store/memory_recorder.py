"""A recorder in the memory of this process, for notebooks and tests. It keeps nothing on disk and publishes nothing."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary, default_vocabulary
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.memory_tables import MemoryTables
from climate_ref_prefect.store.memory_writer import MemoryWriter
from climate_ref_prefect.store.port import (
    AttemptCounts,
    ExecutionStatus,
    GroupAddress,
    UnfinishedExecution,
    address_of,
)
from climate_ref_prefect.store.query_results import (
    LOST_KINDS,
    ExecutionRow,
    GroupHistory,
    OutputRow,
    ScalarRow,
    SeriesRow,
    StatusCounts,
)

logger = logging.getLogger(__name__)


class MemoryRecorder:
    """
    Records executions in memory; a `Recorder` that can be read as the store can.

    Results stay on scratch, where the executions have written them; their values are recorded here.

    Parameters
    ----------
    vocabulary
        The vocabulary that results are checked against; None for the one that comes with the package.
    vocabulary_is_strict
        Whether a result outside the vocabulary is refused; otherwise it is recorded with a warning.
    """

    def __init__(self, vocabulary: Vocabulary | None = None, *, vocabulary_is_strict: bool = True) -> None:
        self.vocabulary = vocabulary or default_vocabulary()
        self.vocabulary_is_strict = vocabulary_is_strict
        self._tables = MemoryTables()
        self._lock = threading.Lock()
        self._writer: MemoryWriter | None = None
        self._holder: Holder | None = None

    @property
    def name(self) -> str:
        """Name for people."""
        return "memory"

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> Iterator[MemoryWriter]:
        """Hold the right to write while the context lasts; see `Recorder.coordinate`."""
        with self._lock:
            if self._writer is not None:
                raise CoordinatorBusyError(self.name, str(self._holder))
            writer = self._take(holder)
        try:
            yield writer
        finally:
            self._release(writer)

    @contextmanager
    def take_over(self, holder: Holder) -> Iterator[MemoryWriter]:
        """
        Take the right to write from the present coordinator, whose writes are refused from now on.

        It shows what happens to a coordinator that has been replaced, for example after it lost a lock.
        """
        with self._lock:
            if self._writer is not None:
                self._writer.lose_lease(str(holder))
            writer = self._take(holder)
        try:
            yield writer
        finally:
            self._release(writer)

    def _take(self, holder: Holder) -> MemoryWriter:
        self._holder = holder
        self._writer = MemoryWriter(
            self.name, self._tables, self.vocabulary, vocabulary_is_strict=self.vocabulary_is_strict
        )
        return self._writer

    def _release(self, writer: MemoryWriter) -> None:
        with self._lock:
            if self._writer is writer:
                self._writer = self._holder = None
        writer.end()

    def attempt_counts(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptCounts]:
        """Return how often each group has been tried on the same inputs."""
        return {address: history.counts for address, history in self.histories(definitions).items()}

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """Return the executions that have not been finalised, oldest first."""
        return tuple(
            UnfinishedExecution(
                execution_id=row.execution_id,
                fragment=row.fragment,
                provider=row.provider,
                diagnostic=row.diagnostic,
                key=row.key,
                status=row.status,
                transport=row.transport,
                attempt=row.attempt,
                resources=row.asked,
            )
            for row in self.executions(unfinished_only=True, newest_first=False)
        )

    def histories(self, definitions: Sequence[ExecutionDefinition]) -> dict[GroupAddress, GroupHistory]:
        """Return what has been tried on the same inputs; see `HistoryReader`."""
        hashes = {address_of(definition): definition.input_hash for definition in definitions}
        with self._tables.lock:
            attempts: dict[GroupAddress, list[ExecutionRow]] = {address: [] for address in hashes}
            for number, definition in self._tables.definitions.items():
                address = address_of(definition)
                if hashes.get(address) == definition.input_hash and number in self._tables.executions:
                    attempts[address].append(self._tables.executions[number])
            return {address: self._history(address, rows) for address, rows in attempts.items()}

    def _history(self, address: GroupAddress, rows: Sequence[ExecutionRow]) -> GroupHistory:
        finished = [row for row in rows if row.status is ExecutionStatus.FINISHED]
        failures = [row.failure_kind for row in finished if row.failure_kind is not None]
        return GroupHistory(
            dirty=self._tables.dirty.get(address, True),
            attempts=len(finished),
            counted_attempts=sum(self._tables.finalisations[row.execution_id].counted for row in finished),
            lost_attempts=sum(kind in LOST_KINDS for kind in failures),
            succeeded=any(row.successful for row in finished),
            last_failure=failures[-1] if failures else None,
            last_retryable=rows[-1].retryable if rows else None,
            last_asked=rows[-1].asked if rows else None,
            last_execution_id=rows[-1].execution_id if rows else None,
        )

    def executions(
        self,
        *,
        execution_ids: Sequence[int] | None = None,
        unfinished_only: bool = False,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> tuple[ExecutionRow, ...]:
        """Return executions for reports; see `ExecutionReader.executions`."""
        with self._tables.lock:
            rows = sorted(self._tables.executions.values(), key=lambda row: row.execution_id, reverse=newest_first)
        wanted = None if execution_ids is None else set(execution_ids)
        chosen = [
            row
            for row in rows
            if (wanted is None or row.execution_id in wanted)
            and not (unfinished_only and row.status is ExecutionStatus.FINISHED)
        ]
        return tuple(chosen[:limit])

    def counts(self) -> StatusCounts:
        """Count executions by result, and groups."""
        rows = self.executions()
        finished = [row for row in rows if row.status is ExecutionStatus.FINISHED]
        failed = [row for row in finished if not row.successful]
        retryable = sum(bool(row.retryable) for row in failed)
        with self._tables.lock:
            dirty = list(self._tables.dirty.values())
        return StatusCounts(
            unfinished=len(rows) - len(finished),
            successful=len(finished) - len(failed),
            failed_retryable=retryable,
            failed_for_good=len(failed) - retryable,
            groups=len(dirty),
            dirty_groups=sum(dirty),
        )

    def outputs(self, execution_ids: Sequence[int]) -> tuple[OutputRow, ...]:
        """Return the files that executions left."""
        return tuple(row for results in self._tables.results_of(execution_ids) for row in results.outputs)

    def scalars(self, execution_ids: Sequence[int]) -> tuple[ScalarRow, ...]:
        """Return the numbers that executions computed."""
        return tuple(row for results in self._tables.results_of(execution_ids) for row in results.scalars)

    def series(self, execution_ids: Sequence[int]) -> tuple[SeriesRow, ...]:
        """Return the series that executions computed."""
        return tuple(row for results in self._tables.results_of(execution_ids) for row in results.series)

"""A third-party recorder: it defines where executions write, and accepts results in a format of their own."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.store.directory_names import new_fragment
from climate_ref_prefect.store.errors import UnknownExecutionError
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    AttemptCounts,
    Finalisation,
    GroupAddress,
    UnfinishedExecution,
    Writer,
)


class FileRecorder:
    """
    Keeps files of results in a directory, and all else in memory.

    Parameters
    ----------
    root
        Below it executions write to `output`, and what they leave is kept in `kept`.
    one_row
        Whether all attempts at a group have one row, as in a database that knows no attempts.
    loses
        A file that is gone from the output directory when it is to be kept; none for no such file.
    """

    name = "files"

    def __init__(self, root: Path, *, one_row: bool = False, loses: str = "") -> None:
        self.root = root
        self.loses = loses
        self.one_row = one_row
        self.memory = MemoryRecorder()
        self.finished: dict[int, FinishedExecution] = {}

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = print) -> Iterator["FileWriter"]:
        with self.memory.coordinate(holder, notify) as writer:
            yield FileWriter(self, writer)

    def attempt_counts(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptCounts]:
        return self.memory.attempt_counts(definitions)

    def unfinished(self) -> Sequence[UnfinishedExecution]:
        return self.memory.unfinished()


class FileWriter:
    """Writes what `FileRecorder` records."""

    def __init__(self, recorder: FileRecorder, memory: Writer) -> None:
        self._recorder = recorder
        self._memory = memory

    def confirm_lease(self) -> None:
        self._memory.confirm_lease()

    def raise_if_lease_lost(self) -> None:
        self._memory.raise_if_lease_lost()

    def allocate(self, batch: Sequence[Allocation]) -> Sequence[AllocatedExecution]:
        if self._recorder.one_row and batch[0].replaces is not None:
            return [self._another_attempt(one, one.replaces) for one in batch if one.replaces is not None]
        output = self._recorder.root / "output"
        return [
            one.model_copy(update={"output_directory": output / one.fragment}) for one in self._memory.allocate(batch)
        ]

    def _another_attempt(self, allocation: Allocation, execution_id: int) -> AllocatedExecution:
        fragment = new_fragment(allocation.definition, datetime.now(UTC))
        return AllocatedExecution(
            execution_id=execution_id,
            fragment=fragment,
            definition=allocation.definition,
            resources=allocation.resources,
            attempt=allocation.attempt,
            output_directory=self._recorder.root / "output" / fragment,
        )

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        self._memory.mark_dispatched(execution_id, resources, transport)

    def publish(self, finished: FinishedExecution) -> None:
        return None

    def ingest(self, finished: FinishedExecution, published: Path | None) -> Sequence[str]:
        self._memory.confirm_lease()
        if not self._recorder.memory.executions(execution_ids=[finished.execution_id]):
            raise UnknownExecutionError(finished.execution_id)
        kept = self._recorder.root / "kept" / str(finished.execution_id)
        if self._recorder.loses:
            (finished.output / self._recorder.loses).unlink(missing_ok=True)
        for record in finished.outcome.manifest:
            (kept / record.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(finished.output / record.path, kept / record.path)
        self._recorder.finished[finished.execution_id] = finished
        return [] if finished.outcome.manifest else ["there is nothing to keep"]

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        if not (self._recorder.one_row and finalisation.another_follows):
            self._memory.finalise(execution_id, finalisation)

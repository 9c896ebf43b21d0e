"""A recorder of somebody else: it says where executions write, and takes results of a format of their own."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.resources import ResourceHint
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
from climate_ref_prefect.transports.worker.finished import FinishedExecution


class FileRecorder:
    """
    Keeps files of results in a directory, and all else in memory.

    Parameters
    ----------
    root
        Below it executions write to `output`, and what they leave is kept in `kept`.
    """

    name = "files"

    def __init__(self, root: Path) -> None:
        self.root = root
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
        output = self._recorder.root / "output"
        return [
            one.model_copy(update={"output_directory": output / one.fragment}) for one in self._memory.allocate(batch)
        ]

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        self._memory.mark_dispatched(execution_id, resources, transport)

    def publish(self, finished: FinishedExecution) -> None:
        return None

    def ingest(self, finished: FinishedExecution, published: Path | None) -> Sequence[str]:
        kept = self._recorder.root / "kept" / str(finished.execution_id)
        for record in finished.outcome.manifest:
            (kept / record.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(finished.output / record.path, kept / record.path)
        self._recorder.finished[finished.execution_id] = finished
        return [f"{len(finished.outcome.manifest)} files are kept"]

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        self._memory.finalise(execution_id, finalisation)

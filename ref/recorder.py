"""The recorder over REF's database: REF makes the executions, and finds here how they ended."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.ref import attempt_rows, upstream
from climate_ref_prefect.ref.attempt_rows import AttemptHistory
from climate_ref_prefect.ref.database import RefDatabase
from climate_ref_prefect.ref.payload import input_hash_of
from climate_ref_prefect.ref.ref_rows import RefRows, restore_reaped
from climate_ref_prefect.ref.writer import RefExecution, RefWriter
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import AttemptCounts, GroupAddress, UnfinishedExecution, address_of

logger = logging.getLogger(__name__)


class RefRecorder:
    """
    A `Recorder` over REF's database.

    Parameters
    ----------
    config
        REF's configuration, which names the database and the directories.

    Raises
    ------
    BadInputError
        If REF's database is neither an SQLite file nor PostgreSQL.
    """

    def __init__(self, config: Any) -> None:
        self.database = RefDatabase(config.db.database_url)
        self._rows = RefRows(config)
        self._executions: dict[GroupAddress, RefExecution] = {}

    @property
    def name(self) -> str:
        """Name for people, without any password."""
        return self.database.name

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> Iterator[RefWriter]:
        """Give the right to write to one coordinator at a time; see `Recorder.coordinate`."""
        with self.database.coordinate(holder, notify):
            yield RefWriter(self.database, self._rows, self._executions)

    def expect(self, definition: ExecutionDefinition, execution_id: int, output_directory: Path) -> None:
        """
        Say that REF has made an execution, which attempts at this group are recorded under from now on.

        Parameters
        ----------
        definition
            Names the group.
        execution_id
            Number of REF's row.
        output_directory
            Where REF wants its files on scratch; absolute.
        """
        self._executions[address_of(definition)] = RefExecution(execution_id, output_directory)

    def attempt_counts(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptCounts]:
        """Return how often each group has been tried on the same inputs since it was last settled."""
        return {address: one.counts for address, one in self.attempt_histories(definitions).items()}

    def attempt_histories(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptHistory]:
        """Return what the attempts at each group on the same inputs have shown since it was last settled."""
        hashes = {address_of(definition): input_hash_of(definition) for definition in definitions}
        made = {address: self._executions[address].execution_id for address in hashes if address in self._executions}
        with self.database.reading() as connection:
            return attempt_rows.histories(connection, hashes, made)

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """Return the attempts that have not been finalised, oldest first."""
        with self.database.reading() as connection:
            return attempt_rows.unfinished(connection)

    def submitted(self) -> tuple[int, ...]:
        """Return REF's executions that were made for this executor and have not ended."""
        with self.database.reading() as connection:
            return attempt_rows.submitted(connection)

    def undo_reaping(self) -> tuple[int, ...]:
        """
        Put executions of another coordinator back in progress that this solve of REF's has given up for their age.

        It may be called by who does not coordinate.
        """
        if not self.database.has_tables():
            return ()
        with self.database.writing_as_guest() as session:
            return restore_reaped(session, attempt_rows.submitted(session))


@contextmanager
def marked_as_ours(session: Session) -> Iterator[None]:
    """
    Mark each execution that REF makes in a session, in the transaction that makes it, while the context lasts.

    So whoever comes after a coordinator that was killed knows which executions in progress were its own.
    """

    def mark(flushing: Session, _: object) -> None:
        made = [one.id for one in flushing.new if isinstance(one, upstream.Execution)]
        attempt_rows.mark_submitted(flushing, made)

    event.listen(session, "after_flush", mark)
    try:
        yield
    finally:
        event.remove(session, "after_flush", mark)

"""The recorder on our own database: results are published to a directory, and their values recorded in tables."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary, default_vocabulary
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    AttemptCounts,
    Finalisation,
    GroupAddress,
    UnfinishedExecution,
)
from climate_ref_prefect.store.publish_results import publish
from climate_ref_prefect.store.read_results import check_vocabulary, read_results
from climate_ref_prefect.store.result_refusals import refusals_explained, require_bundles
from climate_ref_prefect.store.sql.sql_store import Store

logger = logging.getLogger(__name__)


class SqlRecorder:
    """
    Records executions in a store and publishes their results to a directory; a `Recorder`.

    Parameters
    ----------
    store
        The open database.
    results
        Directory in which results are published.
    vocabulary
        The vocabulary that results are checked against; None for the one that comes with the package.
    vocabulary_is_strict
        Whether a result outside the vocabulary is refused; otherwise it is recorded with a warning.
    """

    def __init__(
        self, store: Store, results: Path, vocabulary: Vocabulary | None = None, *, vocabulary_is_strict: bool = True
    ) -> None:
        self.store = store
        self.results = results
        self.vocabulary = vocabulary or default_vocabulary()
        self.vocabulary_is_strict = vocabulary_is_strict

    @property
    def name(self) -> str:
        """The database's name for people, without password."""
        return self.store.name

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = logger.warning) -> "Iterator[SqlWriter]":
        """Hold the right to write while the context lasts; see `Recorder.coordinate` and `Store.coordinate`."""
        with self.store.coordinate(holder, notify):
            yield SqlWriter(self)

    def attempt_counts(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, AttemptCounts]:
        """Return how often each group has been tried on the same inputs."""
        return {address: history.counts for address, history in self.store.histories(definitions).items()}

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """Return the executions that have not been finalised, oldest first."""
        return self.store.unfinished()


class SqlWriter:
    """
    The `Writer` of a `SqlRecorder`; see `Writer` for what its methods raise.

    Parameters
    ----------
    recorder
        The recorder.
    """

    def __init__(self, recorder: SqlRecorder) -> None:
        self._recorder = recorder
        self._store = recorder.store

    def confirm_lease(self) -> None:
        """Ask the database whether this is still the coordinator."""
        self._store.require_lease()
        self._store.confirm_lease()

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if the lease is known to be lost, without asking the database."""
        self._store.raise_if_lease_lost()

    def allocate(self, batch: Sequence[Allocation]) -> tuple[AllocatedExecution, ...]:
        """Record a batch of attempts, their data sets and their groups, in one transaction."""
        return self._store.allocate(batch)

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        """Record that an execution is handed to a transport, and the granted resources."""
        self._store.mark_dispatched(execution_id, resources, transport)

    def publish(self, finished: FinishedExecution) -> Path:
        """Copy the results to `<results>/<fragment>`: checked, and visible all at once or not at all."""
        target = self._recorder.results / finished.envelope.fragment
        execution = ExecutionDirectory(finished.directory)
        require_bundles(finished)
        with refusals_explained():
            publish(execution, finished.outcome.manifest, target, self.confirm_lease, finished.output)
        return target

    def ingest(self, finished: FinishedExecution, published: Path | None) -> tuple[str, ...]:
        """Check the results against the vocabulary and record their values."""
        recorder = self._recorder
        with refusals_explained():
            results = read_results(published or finished.output)
            warnings = check_vocabulary(results, recorder.vocabulary, strict=recorder.vocabulary_is_strict)
            self._store.ingest(finished.execution_id, results.outputs, results.metrics, results.series)
        return warnings

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        """Record how an attempt ended, and apply the dirty rule."""
        self._store.finalise(execution_id, finalisation)

    def withdraw(self, execution_ids: Sequence[int]) -> None:
        """Remove the rows of attempts that no worker has begun with, in one transaction."""
        self._store.withdraw(execution_ids)

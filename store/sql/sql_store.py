"""The SQL store: every transaction on the database, as one method each."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    Finalisation,
    GroupAddress,
    UnfinishedExecution,
)
from climate_ref_prefect.store.query_results import (
    ExecutionRow,
    GroupHistory,
    OutputRow,
    Reingestion,
    ScalarRow,
    SeriesRow,
    StatusCounts,
)
from climate_ref_prefect.store.sql import allocate_executions, queries, record_execution, record_reingestion
from climate_ref_prefect.store.sql.attempt_history import histories
from climate_ref_prefect.store.sql.database_encoding import check_encoding
from climate_ref_prefect.store.sql.database_location import SQLITE, location_name, parse_location, prepare_directory
from climate_ref_prefect.store.sql.engine import build_engine, explained
from climate_ref_prefect.store.sql.schema_revision import check_schema
from climate_ref_prefect.store.sql.transactions import Database


def open_store(url: str) -> "Store":
    """
    Open a database. An empty one gets its tables first.

    Parameters
    ----------
    url
        `sqlite:///path` or `postgresql://user:password@host/database`.

    Raises
    ------
    BadInputError
        If the URL, the location or the encoding is invalid, or the driver is missing. The message says what to do.
    SchemaError
        If the database has another schema than this version. The message says what to do.
    StoreUnavailableError
        If the database cannot be reached.
    """
    location = parse_location(url)
    if location.drivername == SQLITE:
        prepare_directory(Path(str(location.database)))
    engine = build_engine(location)
    name = location_name(location)
    try:
        with explained(name), engine.begin() as connection:
            check_encoding(connection, name)
            is_ready = check_schema(connection, name)
        if not is_ready:
            from climate_ref_prefect.store.sql.schema_migration import upgrade_database  # noqa: PLC0415 - Alembic

            upgrade_database(url)
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)


class Store(Database):
    """
    The records of all executions; `open_store` makes it.

    Each method is one transaction and may be called from any thread. All of them raise `StoreUnavailableError` when
    the database is locked, full or not reachable: nothing was recorded then, and the call may be repeated. Methods
    that write must be called within `coordinate`. Outside of it they raise `NotCoordinatingError`, and
    `LeaseLostError` once another coordinator has taken over.
    """

    def allocate(self, allocations: Sequence[Allocation]) -> tuple[AllocatedExecution, ...]:
        """Record a batch of attempts, their data sets and their groups, which become dirty; in the given order."""
        with self._writing() as connection:
            return allocate_executions.allocate(connection, allocations, datetime.now(UTC))

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        """
        Record that an execution was handed to a transport, and what was asked for.

        Raises
        ------
        UnknownExecutionError
            If there is no such execution.
        """
        with self._writing() as connection:
            record_execution.mark_dispatched(connection, execution_id, resources, transport)

    def ingest(self, execution_id: int, outputs: OutputBundle, metrics: MetricBundle, series: Sequence[Series]) -> None:
        """
        Record the results of an execution; repeated, it inserts nothing twice.

        Raises
        ------
        UnknownExecutionError
            If there is no such execution.
        """
        with self._writing() as connection:
            record_execution.ingest(connection, execution_id, outputs, metrics, series)

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        """
        Record how an execution ended, and clear its group's dirty flag if requested.

        A repeated call changes nothing, not even a dirty flag that a user has set since.

        Raises
        ------
        UnknownExecutionError
            If there is no such execution.
        """
        with self._writing() as connection:
            record_execution.finalise(connection, execution_id, finalisation, datetime.now(UTC))

    def withdraw(self, execution_ids: Sequence[int]) -> None:
        """Remove executions that have not been finalised, with their links to data sets. Their groups stay dirty."""
        with self._writing() as connection:
            allocate_executions.withdraw(connection, execution_ids)

    def check_reingestion(self, execution_id: int) -> None:
        """
        Check that the results of an execution may be ingested again.

        Raises
        ------
        UnknownExecutionError
            If there is no such execution.
        NotReopenedError
            If it has not ended, has no results by the kind of its failure, or another attempt has followed.
        """
        with self._reading() as connection:
            record_reingestion.check(connection, execution_id)

    def reingest(
        self,
        execution_id: int,
        outputs: OutputBundle,
        metrics: MetricBundle,
        series: Sequence[Series],
        *,
        results_path: str,
    ) -> Reingestion:
        """
        Record the missing results of a finished execution, which is a success from then on.

        Recorded values are never changed: if any differs from the results, nothing is recorded, and the answer names
        the differences. The dirty flag of the group is cleared if the failure had left it set.

        Raises
        ------
        UnknownExecutionError, NotReopenedError
            As `check_reingestion`.
        """
        with self._writing() as connection:
            return record_reingestion.reingest(
                connection, execution_id, outputs, metrics, series, results_path=results_path
            )

    def unfinished(self) -> tuple[UnfinishedExecution, ...]:
        """Return the executions that have not been finalised, oldest first."""
        with self._reading() as connection:
            return queries.unfinished(connection)

    def histories(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, GroupHistory]:
        """
        Return what has been tried on the same inputs, by provider, diagnostic and key.

        The result contains every definition. One that was never tried has an empty history and is dirty.
        """
        with self._reading() as connection:
            return histories(connection, definitions)

    def executions(
        self,
        *,
        execution_ids: Sequence[int] | None = None,
        unfinished_only: bool = False,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> tuple[ExecutionRow, ...]:
        """
        Return executions for reports and the command.

        Parameters
        ----------
        execution_ids
            Only these; none for all. Those that do not exist are left out.
        unfinished_only
            Only those that have not been finalised.
        limit
            At most so many.
        newest_first
            Or the oldest first.
        """
        with self._reading() as connection:
            return queries.executions(
                connection,
                execution_ids,
                unfinished_only=unfinished_only,
                limit=limit,
                newest_first=newest_first,
            )

    def counts(self) -> StatusCounts:
        """Count executions by result, and groups."""
        with self._reading() as connection:
            return queries.counts(connection)

    def outputs(self, execution_ids: Sequence[int]) -> tuple[OutputRow, ...]:
        """Return the files that executions left."""
        with self._reading() as connection:
            return queries.outputs(connection, execution_ids)

    def scalars(self, execution_ids: Sequence[int]) -> tuple[ScalarRow, ...]:
        """Return the numbers that executions computed."""
        with self._reading() as connection:
            return queries.scalars(connection, execution_ids)

    def series(self, execution_ids: Sequence[int]) -> tuple[SeriesRow, ...]:
        """Return the series that executions computed."""
        with self._reading() as connection:
            return queries.series(connection, execution_ids)

    def mark_dirty(self, provider: str, diagnostic: str | None = None) -> int:
        """
        Have all groups of a provider, or of one of its diagnostics, run again; return how many there are.

        Raises
        ------
        UnknownNameError
            If nothing of that name was ever recorded. The message lists the recorded names.
        """
        with self._transaction() as connection:
            return queries.mark_dirty(connection, provider, diagnostic)

    def has_results_below(self, directory: str) -> bool:
        """Whether results of any execution were published below a directory."""
        with self._reading() as connection:
            return queries.has_results_below(connection, directory)

"""The reading port: what planning and reports read from a recorder. The lifecycle does not need it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.store.port import GroupAddress
from climate_ref_prefect.store.query_results import (
    ExecutionRow,
    GroupHistory,
    OutputRow,
    ScalarRow,
    SeriesRow,
    StatusCounts,
)


@runtime_checkable
class HistoryReader(Protocol):
    """Gives planning the earlier attempts."""

    def histories(self, definitions: Sequence[ExecutionDefinition]) -> Mapping[GroupAddress, GroupHistory]:
        """
        Return what has been tried on the same inputs, by provider, diagnostic and key.

        The result contains every definition. One that was never tried has an empty history and is dirty.
        """
        ...


@runtime_checkable
class ExecutionReader(Protocol):
    """Gives reports and the command what is recorded."""

    def executions(
        self,
        *,
        execution_ids: Sequence[int] | None = None,
        unfinished_only: bool = False,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> Sequence[ExecutionRow]:
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
        ...

    def counts(self) -> StatusCounts:
        """Count executions by result, and groups."""
        ...

    def outputs(self, execution_ids: Sequence[int]) -> Sequence[OutputRow]:
        """Return the files that executions left."""
        ...

    def scalars(self, execution_ids: Sequence[int]) -> Sequence[ScalarRow]:
        """Return the numbers that executions computed."""
        ...

    def series(self, execution_ids: Sequence[int]) -> Sequence[SeriesRow]:
        """Return the series that executions computed."""
        ...

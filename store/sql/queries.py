"""Queries for reports and the command: executions, counts, outputs and values."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, select, update

from climate_ref_prefect.diagnostics.errors import UnknownNameError
from climate_ref_prefect.store.port import ExecutionStatus, UnfinishedExecution
from climate_ref_prefect.store.query_results import ExecutionRow, OutputRow, ScalarRow, SeriesRow, StatusCounts
from climate_ref_prefect.store.sql.shared_statements import asked_by, in_chunks
from climate_ref_prefect.store.sql.table_models import (
    Base,
    Diagnostic,
    Execution,
    ExecutionGroup,
    ExecutionOutput,
    Provider,
    ScalarValue,
    SeriesValue,
)

_execution = Execution.table()
_IS_UNFINISHED = _execution.c.status.in_([ExecutionStatus.ALLOCATED, ExecutionStatus.DISPATCHED])
"""Not written with `!=`, which no index could answer."""


def unfinished(connection: Connection) -> tuple[UnfinishedExecution, ...]:
    """Return the executions that have not been finalised, oldest first."""
    return tuple(
        UnfinishedExecution(
            execution_id=row.id,
            fragment=row.fragment,
            provider=row.provider,
            diagnostic=row.diagnostic,
            key=row.key,
            status=row.status,
            transport=row.transport,
            attempt=row.attempt,
            resources=asked_by(row),
        )
        for row in connection.execute(_labelled().where(_IS_UNFINISHED).order_by(_execution.c.id))
    )


def executions(
    connection: Connection,
    execution_ids: Sequence[int] | None,
    *,
    unfinished_only: bool,
    limit: int | None,
    newest_first: bool,
) -> tuple[ExecutionRow, ...]:
    """Return executions with the names of their providers, diagnostics and groups."""
    order = _execution.c.id.desc() if newest_first else _execution.c.id
    query = _labelled().order_by(order).limit(limit)
    if unfinished_only:
        query = query.where(_IS_UNFINISHED)
    if execution_ids is None:
        return tuple(map(_execution_row, connection.execute(query)))
    rows: list[Row[Any]] = []
    for chunk in in_chunks(sorted(set(execution_ids), reverse=newest_first)):
        rows += connection.execute(query.where(_execution.c.id.in_(chunk)))
    return tuple(map(_execution_row, rows[:limit]))


def counts(connection: Connection) -> StatusCounts:
    """Count executions by result, and groups."""
    kinds = case(
        (_execution.c.successful, "successful"),
        (_execution.c.status != ExecutionStatus.FINISHED, "unfinished"),
        (_execution.c.retryable, "failed_retryable"),
        else_="failed_for_good",
    ).label("kind")
    executions = select(kinds, func.count()).group_by("kind")
    found = {kind: count for kind, count in connection.execute(executions)}  # noqa: C416 - dict() of rows has no types
    flags = select(ExecutionGroup.dirty, func.count()).group_by(ExecutionGroup.dirty)
    groups = {dirty: count for dirty, count in connection.execute(flags)}  # noqa: C416 - as above
    return StatusCounts(
        unfinished=found.get("unfinished", 0),
        successful=found.get("successful", 0),
        failed_retryable=found.get("failed_retryable", 0),
        failed_for_good=found.get("failed_for_good", 0),
        groups=sum(groups.values()),
        dirty_groups=groups.get(True, 0),
    )


def outputs(connection: Connection, execution_ids: Sequence[int]) -> tuple[OutputRow, ...]:
    """Return the files of executions, by execution and in the order of the bundle."""
    fields = ("execution_id", "output_type", "short_name", "filename", "long_name", "description", "dimensions")
    return tuple(OutputRow(**row) for row in _of_executions(connection, ExecutionOutput, fields, execution_ids))


def scalars(connection: Connection, execution_ids: Sequence[int]) -> tuple[ScalarRow, ...]:
    """Return the scalar values of executions, by execution and in the order of the bundle."""
    fields = ("execution_id", "dimensions", "value")
    return tuple(ScalarRow(**row) for row in _of_executions(connection, ScalarValue, fields, execution_ids))


def series(connection: Connection, execution_ids: Sequence[int]) -> tuple[SeriesRow, ...]:
    """Return the series of executions, by execution and in the order of the bundle."""
    fields = ("execution_id", "dimensions", "index_name", "index", "values", "attributes")
    return tuple(SeriesRow(**row) for row in _of_executions(connection, SeriesValue, fields, execution_ids))


def has_results_below(connection: Connection, directory: str) -> bool:
    """Whether results of any execution were published below a directory."""
    query = select(_execution.c.id).where(_execution.c.results_path.startswith(f"{directory}/", autoescape=True))
    return connection.execute(query.limit(1)).first() is not None


def mark_dirty(connection: Connection, provider: str, diagnostic: str | None) -> int:
    """Set the dirty flag of all groups of a provider, or of one of its diagnostics; return how many there are."""
    query = select(Diagnostic.slug, Diagnostic.id).join(Provider).where(Provider.slug == provider)
    found = {slug: number for slug, number in connection.execute(query)}  # noqa: C416 - as above
    if not found:
        raise UnknownNameError("recorded provider", provider, connection.scalars(select(Provider.slug)))
    if diagnostic is not None and diagnostic not in found:
        raise UnknownNameError("recorded diagnostic", f"{provider}/{diagnostic}", found)
    chosen = found.values() if diagnostic is None else [found[diagnostic]]
    table = ExecutionGroup.table()
    return connection.execute(update(table).where(table.c.diagnostic_id.in_(chosen)).values(dirty=True)).rowcount


def _labelled() -> Select[Any]:
    return (
        select(
            _execution,
            ExecutionGroup.key,
            Diagnostic.slug.label("diagnostic"),
            Provider.slug.label("provider"),
        )
        .join(ExecutionGroup, ExecutionGroup.id == _execution.c.group_id)
        .join(Diagnostic, Diagnostic.id == ExecutionGroup.diagnostic_id)
        .join(Provider, Provider.id == Diagnostic.provider_id)
    )


_SAME_NAME = tuple(ExecutionRow.model_fields.keys() - {"execution_id", "asked"})


def _execution_row(row: Row[Any]) -> ExecutionRow:
    same = {name: row._mapping[name] for name in _SAME_NAME}
    return ExecutionRow(execution_id=row.id, asked=asked_by(row), **same)


def _of_executions(
    connection: Connection, model: type[Base], fields: Sequence[str], execution_ids: Sequence[int]
) -> list[dict[str, Any]]:
    table = model.table()
    query = select(*(table.c[field] for field in fields)).order_by(table.c.execution_id, table.c.id)
    rows: list[dict[str, Any]] = []
    for chunk in in_chunks(sorted(set(execution_ids))):
        found = connection.execute(query.where(table.c.execution_id.in_(chunk)))
        rows += [dict(row) for row in found.mappings()]
    return rows

"""Record the results of a finished execution again: only what is missing is added."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, select, update

from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.store.errors import NotReopenedError, UnknownExecutionError
from climate_ref_prefect.store.port import ExecutionStatus
from climate_ref_prefect.store.query_results import Reingestion
from climate_ref_prefect.store.sql.column_types import clean_text
from climate_ref_prefect.store.sql.record_execution import output_rows, scalar_rows, series_rows
from climate_ref_prefect.store.sql.shared_statements import insert_new
from climate_ref_prefect.store.sql.table_models import (
    Execution,
    ExecutionGroup,
    ExecutionOutput,
    ScalarValue,
    SeriesValue,
)

MENDABLE: Final = tuple(kind for kind, rule in FAILURE_RULES.items() if rule.has_results)
"""Failures of executions that ran to their end, so that their results may be recordable now."""

_KEYS: Final = {
    "execution_output": ("output_type", "short_name"),
    "scalar_value": ("dimensions_hash",),
    "series_value": ("dimensions_hash", "index_name"),
}
_LISTED: Final = 5
_LONGEST: Final = 60
_execution = Execution.table()
_group = ExecutionGroup.table()


def check(connection: Connection, execution_id: int) -> Row[Any]:
    """
    Return the row of an execution whose results may be ingested again.

    Raises
    ------
    UnknownExecutionError
        If there is none of that number.
    NotReopenedError
        If it has not ended, has no results by the kind of its failure, or was followed by another attempt; says which.
    """
    row = connection.execute(select(_execution).where(_execution.c.id == execution_id)).one_or_none()
    if row is None:
        raise UnknownExecutionError(execution_id)
    if row.status != ExecutionStatus.FINISHED:
        raise NotReopenedError(
            "it has not ended; `climate-ref-prefect recover` settles the executions of a dead coordinator"
        )
    later = select(_execution.c.id).where(_execution.c.group_id == row.group_id, _execution.c.id > execution_id)
    if (by := connection.scalar(later.order_by(_execution.c.id.desc()).limit(1))) is not None:
        raise NotReopenedError(f"it was superseded by the later attempt {by}")
    if not row.successful and row.failure_kind not in MENDABLE:
        raise NotReopenedError(
            f"it failed by {row.failure_kind}, and has no results; `climate-ref-prefect solve` runs it"
        )
    return row


def reingest(
    connection: Connection,
    execution_id: int,
    outputs: OutputBundle,
    metrics: MetricBundle,
    series: Sequence[Series],
    *,
    results_path: str,
) -> Reingestion:
    """
    Record the missing results of a finished execution and their directory. The execution is a success from then on.

    If any recorded value differs from the results, nothing is recorded.
    """
    before = check(connection, execution_id)
    wanted = (
        (ExecutionOutput.table(), output_rows(execution_id, outputs)),
        (ScalarValue.table(), scalar_rows(execution_id, metrics)),
        (SeriesValue.table(), series_rows(execution_id, series)),
    )
    added, differing = 0, []
    for table, rows in wanted:
        recorded = _recorded(connection, table, execution_id)
        found = {_key(table, row): row for row in rows}
        differing += list(_differences(table, found, recorded))
        added += len(found.keys() - recorded.keys())
    if differing:
        return Reingestion(differing=_shortened(differing))
    for table, rows in wanted:
        insert_new(connection, table, rows)
    moved = before.results_path != results_path
    if not before.successful:
        _make_successful(connection, before, results_path)
    elif moved:
        _change(connection, before, results_path=results_path)
    return Reingestion(added=added, mended=not before.successful, moved=moved)


def _make_successful(connection: Connection, before: Row[Any], results_path: str) -> None:
    values = {"successful": True, "retryable": False, "counted": True, "failure_kind": None, "failure_message": None}
    _change(connection, before, **values, results_path=results_path)
    # Giving up has cleared the flag. If it is set, a user has set it since.
    if before.retryable:
        connection.execute(update(_group).where(_group.c.id == before.group_id).values(dirty=False))


def _change(connection: Connection, before: Row[Any], **values: Any) -> None:
    connection.execute(update(_execution).where(_execution.c.id == before.id).values(**values))


def _recorded(connection: Connection, table: Table, execution_id: int) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    found = connection.execute(select(table).where(table.c.execution_id == execution_id)).mappings()
    return {_key(table, row): row for row in map(dict[str, Any], found)}


def _key(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(clean_text(str(row[name])) for name in _KEYS[table.name])


def _differences(
    table: Table,
    found: Mapping[tuple[Any, ...], Mapping[str, Any]],
    recorded: Mapping[tuple[Any, ...], Mapping[str, Any]],
) -> Iterator[str]:
    for key, row in recorded.items():
        if key not in found:
            yield f"{_name(table, row)} is recorded, and not in the results"
            continue
        for column, value in found[key].items():
            if (value := _as_kept(value)) != row[column]:
                recorded_as, instead = _shown(row[column]), _shown(value)
                yield f"{_name(table, row)}: {column} is recorded as {recorded_as}, and {instead} in the results"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _as_kept(value: Any) -> Any:
    return clean_text(value) if isinstance(value, str) else value


def _name(table: Table, row: Mapping[str, Any]) -> str:
    if table.name == "execution_output":
        return f"{row['output_type']} {row['short_name']!r}"
    dimensions = ", ".join(f"{name} {value}" for name, value in sorted(row["dimensions"].items()))
    return f"{'scalar' if table.name == 'scalar_value' else row['index_name'] + ' series'} of {dimensions}"


def _shortened(differing: Sequence[str]) -> tuple[str, ...]:
    more = len(differing) - _LISTED
    return (*differing[:_LISTED], *([f"and {more} more"] if more > 0 else []))

"""Record one execution: dispatch, results, final status. This is the hot path, so only Core statements are used."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.store.errors import UnknownExecutionError
from climate_ref_prefect.store.port import ExecutionStatus, Finalisation
from climate_ref_prefect.store.query_results import final_values
from climate_ref_prefect.store.sql.dimensions_hash import dimensions_hash
from climate_ref_prefect.store.sql.shared_statements import asked_columns, insert_new
from climate_ref_prefect.store.sql.table_models import (
    Execution,
    ExecutionGroup,
    ExecutionOutput,
    ScalarValue,
    SeriesValue,
)

_execution = Execution.table()
_group = ExecutionGroup.table()
_UPDATE_UNFINISHED = update(_execution).where(
    _execution.c.id == bindparam("which"), _execution.c.status != ExecutionStatus.FINISHED
)
_FIND = select(_execution.c.id).where(_execution.c.id == bindparam("which"))
_CLEAR_DIRTY = (
    update(_group)
    .where(_group.c.id == select(_execution.c.group_id).where(_execution.c.id == bindparam("which")).scalar_subquery())
    .values(dirty=False)
)
"""Built once, because building the statement takes longer than SQLite takes to execute it."""


def mark_dispatched(connection: Connection, execution_id: int, resources: ResourceHint, transport: str) -> None:
    """Record that an execution was handed to a transport, and what it asked for. A finished one stays finished."""
    values = {"status": ExecutionStatus.DISPATCHED, "transport": transport, **asked_columns(resources)}
    _change_unfinished(connection, execution_id, values)


def ingest(
    connection: Connection,
    execution_id: int,
    outputs: OutputBundle,
    metrics: MetricBundle,
    series: Sequence[Series],
) -> None:
    """Record results by their natural keys. Existing rows stay unchanged."""
    _require(connection, execution_id)
    insert_new(connection, ExecutionOutput.table(), output_rows(execution_id, outputs))
    insert_new(connection, ScalarValue.table(), scalar_rows(execution_id, metrics))
    insert_new(connection, SeriesValue.table(), series_rows(execution_id, series))


def finalise(connection: Connection, execution_id: int, finalisation: Finalisation, now: datetime) -> None:
    """Record how an execution ended, and clear its group's dirty flag if requested. A second call is ignored."""
    values = {"status": ExecutionStatus.FINISHED, "finished_at": now, "counted": finalisation.counted}
    # A repeated call must not clear a flag that a user has set since.
    if _change_unfinished(connection, execution_id, values | final_values(finalisation)) and finalisation.clears_dirty:
        connection.execute(_CLEAR_DIRTY, {"which": execution_id})


def _change_unfinished(connection: Connection, execution_id: int, values: Mapping[str, Any]) -> bool:
    changed = connection.execute(_UPDATE_UNFINISHED, {"which": execution_id, **values}).rowcount > 0
    if not changed:
        _require(connection, execution_id)
    return changed


def _require(connection: Connection, execution_id: int) -> None:
    if connection.scalar(_FIND, {"which": execution_id}) is None:
        raise UnknownExecutionError(execution_id)


def output_rows(execution_id: int, outputs: OutputBundle) -> list[dict[str, Any]]:
    """Return the rows of the files that an execution left."""
    return [
        {
            "execution_id": execution_id,
            "output_type": output_type,
            "short_name": short_name,
            "filename": file.filename,
            "long_name": file.long_name,
            "description": file.description,
            "dimensions": dict(file.dimensions),
        }
        for output_type, short_name, file in outputs.files()
    ]


def scalar_rows(execution_id: int, metrics: MetricBundle) -> list[dict[str, Any]]:
    """Return the rows of the numbers that an execution computed."""
    return [
        {
            "execution_id": execution_id,
            "dimensions_hash": dimensions_hash(dimensions),
            "dimensions": dimensions,
            "value": None if scalar is None else float(scalar),
        }
        for dimensions, scalar in metrics.scalars()
    ]


def series_rows(execution_id: int, series: Sequence[Series]) -> list[dict[str, Any]]:
    """Return the rows of the series that an execution computed."""
    return [
        {
            "execution_id": execution_id,
            "dimensions_hash": dimensions_hash(one.dimensions),
            "index_name": one.index_name,
            "dimensions": dict(one.dimensions),
            "index": list(one.index),
            "values": list(one.values),
            "attributes": dict(one.attributes),
        }
        for one in series
    ]

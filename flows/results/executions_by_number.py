"""Executions by the numbers that people give."""

from collections.abc import Sequence

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.store.reading_port import ExecutionReader


def executions_by_number(reader: ExecutionReader, execution_ids: Sequence[int]) -> Sequence[ExecutionRow]:
    """
    Return executions, oldest first.

    Raises
    ------
    BadInputError
        If one of them does not exist.
    """
    rows = reader.executions(execution_ids=execution_ids, newest_first=False)
    if missing := sorted(set(execution_ids) - {row.execution_id for row in rows}):
        numbers = ", ".join(map(str, missing))
        raise BadInputError(f"There is no execution {numbers}; `climate-ref-prefect status` lists the latest.")
    return rows

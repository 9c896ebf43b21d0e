"""The tables of the recorder in memory, as dictionaries of frozen values."""

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.store.errors import UnknownExecutionError
from climate_ref_prefect.store.port import ExecutionStatus, Finalisation, GroupAddress
from climate_ref_prefect.store.query_results import ExecutionRow, OutputRow, ScalarRow, SeriesRow
from climate_ref_prefect.store.read_results import Results


class RecordedResults(NamedTuple):
    """The results of one execution, as they are read."""

    outputs: tuple[OutputRow, ...]
    scalars: tuple[ScalarRow, ...]
    series: tuple[SeriesRow, ...]


class MemoryTables:
    """The rows by execution id, and the dirty flags by group. Hold `lock` to read or change more than one of them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.executions: dict[int, ExecutionRow] = {}
        self.definitions: dict[int, ExecutionDefinition] = {}
        self.finalisations: dict[int, Finalisation] = {}
        self.results: dict[int, RecordedResults] = {}
        self.dirty: dict[GroupAddress, bool] = {}

    def execution(self, execution_id: int) -> ExecutionRow:
        """Return an execution; raises `UnknownExecutionError` if there is none of that number."""
        try:
            return self.executions[execution_id]
        except KeyError as error:
            raise UnknownExecutionError(execution_id) from error

    def change_unfinished(self, execution_id: int, values: Mapping[str, object]) -> bool:
        """Change an execution that has not been finalised; return whether it was changed."""
        row = self.execution(execution_id)
        if row.status is ExecutionStatus.FINISHED:
            return False
        self.executions[execution_id] = row.model_copy(update=values)
        return True

    def results_of(self, execution_ids: Sequence[int]) -> list[RecordedResults]:
        """Return the results of executions, by execution; those without any are left out."""
        with self.lock:
            return [self.results[number] for number in sorted(set(execution_ids)) if number in self.results]


def recorded_results(execution_id: int, results: Results) -> RecordedResults:
    """
    Return results as rows.

    Raises
    ------
    OverflowError
        If a number is larger than a float can be.
    """
    outputs = tuple(
        OutputRow(execution_id=execution_id, output_type=kind, short_name=short_name, **file.model_dump())
        for kind, short_name, file in results.outputs.files()
    )
    scalars = tuple(
        ScalarRow(execution_id=execution_id, dimensions=dimensions, value=None if scalar is None else float(scalar))
        for dimensions, scalar in results.metrics.scalars()
    )
    series = tuple(SeriesRow(execution_id=execution_id, **one.model_dump()) for one in results.series)
    return RecordedResults(outputs, scalars, series)

"""Overviews of what is recorded: of all diagnostics, of one, and of an execution."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.results.executions_by_number import executions_by_number
from climate_ref_prefect.flows.results.recorded_values import latest_attempts
from climate_ref_prefect.store.query_results import ExecutionRow, OutputRow
from climate_ref_prefect.store.reading_port import ExecutionReader


class DiagnosticsOverview(TabularReport):
    """What there is of each diagnostic."""

    columns: ClassVar = ("diagnostic", "succeeded", "failed", "values", "files")

    rows: tuple[tuple[str, ...], ...]

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per diagnostic."""
        yield from self.rows

    def headline(self) -> str:
        """Return how many there are."""
        return f"{len(self.rows)} diagnostics have been run. `climate-ref-prefect show DIAGNOSTIC` shows one of them."


class GroupsOverview(TabularReport):
    """The latest attempt at each group of a diagnostic."""

    columns: ClassVar = ("group", "execution", "outcome", "files")

    attempts: tuple[ExecutionRow, ...]
    files: tuple[OutputRow, ...]

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per group."""
        names: dict[int, list[str]] = {}
        for file in self.files:
            names.setdefault(file.execution_id, []).append(file.filename)
        for row in self.attempts:
            files = " ".join(names.get(row.execution_id, ()))
            yield (row.label, str(row.execution_id), row.outcome, files)

    def headline(self) -> str:
        """Return how to go on."""
        return "`climate-ref-prefect show EXECUTION` shows one of them, `climate-ref-prefect values` all numbers."


class ExecutionOverview(TabularReport):
    """All that is recorded of an execution."""

    columns: ClassVar = ("", "")

    row: ExecutionRow
    files: tuple[OutputRow, ...]
    value_count: int

    def cells(self) -> Iterator[tuple[str, str]]:
        """Yield what is known, with its name."""
        row, meta = self.row, self.row.telemetry_meta or {}
        yield "execution", f"{row.label} #{row.execution_id}, attempt {row.attempt}"
        yield "outcome", row.outcome
        yield "message", row.failure_message or ""
        yield "allocated", f"{row.created_at:%Y-%m-%d %H:%M:%S}"
        yield "took", "" if row.duration_seconds is None else f"{row.duration_seconds:.2f} s"
        yield "asked for", f"{row.asked.cpu} processors, {row.asked.memory_mb} MiB, {row.asked.wall_clock}"
        yield "used", "" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.0f} MiB"
        yield "where", " on ".join(filter(None, (row.transport, str(meta.get("host") or ""))))
        yield "results", row.results_path or ""
        for file in self.files:
            yield file.output_type, str(Path(row.results_path or "") / file.filename)
        yield "values", str(self.value_count)

    def headline(self) -> str:
        """Return how to read its log."""
        return f"Its log: climate-ref-prefect log {self.row.execution_id}"

    def remarks(self) -> Iterator[str]:
        """Yield what to do about a failure."""
        if self.row.failure_kind is not None:
            yield FAILURE_RULES[self.row.failure_kind].next_step


def overview(reader: ExecutionReader, name: str | None) -> TabularReport:
    """
    Return an overview of all diagnostics, or of what a name means.

    Parameters
    ----------
    reader
        What is recorded.
    name
        The number of an execution, the slug of a diagnostic, `provider/diagnostic`, or none for everything.

    Raises
    ------
    BadInputError
        If there is no such execution or diagnostic.
    """
    if name is None:
        return _of_everything(reader)
    if name.removeprefix("#").isdecimal():
        return _of_execution(reader, int(name.removeprefix("#")))
    attempts = latest_attempts(reader, diagnostics=[name])
    return GroupsOverview(attempts=attempts, files=tuple(reader.outputs(_ids(attempts))))


def _of_everything(reader: ExecutionReader) -> DiagnosticsOverview:
    by_diagnostic: dict[str, list[ExecutionRow]] = {}
    for row in latest_attempts(reader):
        by_diagnostic.setdefault(f"{row.provider}/{row.diagnostic}", []).append(row)
    return DiagnosticsOverview(rows=tuple(_line(reader, name, rows) for name, rows in by_diagnostic.items()))


def _line(reader: ExecutionReader, name: str, rows: Sequence[ExecutionRow]) -> tuple[str, ...]:
    ids = _ids(rows)
    succeeded = sum(1 for row in rows if row.successful)
    failed = sum(1 for row in rows if row.successful is False)
    return (name, str(succeeded), str(failed), str(len(reader.scalars(ids))), str(len(reader.outputs(ids))))


def _of_execution(reader: ExecutionReader, number: int) -> ExecutionOverview:
    (row,) = executions_by_number(reader, [number])
    return ExecutionOverview(row=row, files=tuple(reader.outputs([number])), value_count=len(reader.scalars([number])))


def _ids(rows: Sequence[ExecutionRow]) -> list[int]:
    return [row.execution_id for row in rows]

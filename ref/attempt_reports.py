"""Read attempts at REF's executions as the reports of this package show them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.database import RefDatabase
from climate_ref_prefect.ref.resource_columns import OURS
from climate_ref_prefect.ref.tables import attempts
from climate_ref_prefect.store.port import ExecutionStatus
from climate_ref_prefect.store.query_results import ExecutionRow

_LOG_TAIL_BYTES: Final = 4096


class AttemptReports:
    """
    Reads attempts from REF's database.

    Parameters
    ----------
    config
        REF's configuration.
    """

    def __init__(self, config: Any) -> None:
        self._database = RefDatabase(config.db.database_url)
        self._results = Path(config.paths.results)

    def last_attempt(self) -> int:
        """Return the number of the last attempt that is recorded; 0 without any."""
        if not self._database.has_tables():
            return 0
        with self._database.reading() as connection:
            return connection.execute(select(func.max(attempts.c.id))).scalar() or 0

    def since(self, attempt: int) -> tuple[ExecutionRow, ...]:
        """Return all attempts after one, oldest first."""
        return self._read(lambda query: query.where(attempts.c.id > attempt))

    def last_of(self, execution_ids: Sequence[int]) -> tuple[ExecutionRow, ...]:
        """Return the last attempt at each of some executions, oldest first."""
        found = self._read(lambda query: query.where(attempts.c.execution_id.in_(execution_ids)))
        return tuple({row.execution_id: row for row in found}.values())

    def close(self) -> None:
        """Close all connections. Safe to repeat."""
        self._database.close()

    def _read(self, chosen: Callable[[Select[Any]], Select[Any]]) -> tuple[ExecutionRow, ...]:
        if not self._database.has_tables():
            return ()
        with self._session() as session:
            found = session.execute(chosen(select(attempts)).order_by(attempts.c.id)).all()
            last = {row.execution_id: row.id for row in found}
            return tuple(self._report(session, row, is_last=last[row.execution_id] == row.id) for row in found)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with self._database.reading() as connection, Session(connection) as session:
            yield session

    def _report(self, session: Session, row: Row[Any], *, is_last: bool) -> ExecutionRow:
        execution = session.get(upstream.Execution, row.execution_id)
        is_finished = row.status == ExecutionStatus.FINISHED
        kind = FailureKind(row.failure_kind) if row.failure_kind else None
        successful = kind is None and row.clears_dirty if is_finished else None
        used = (execution.resource_context or {}).get(OURS, {}) if execution is not None and is_last else {}
        results = self._results / execution.output_fragment if execution is not None else None
        return ExecutionRow(
            execution_id=row.execution_id,
            provider=row.provider,
            diagnostic=row.diagnostic,
            key=row.key,
            attempt=row.attempt,
            status=ExecutionStatus(row.status),
            transport=row.transport,
            asked=ResourceHint.model_validate(row.resources),
            successful=successful,
            retryable=not row.clears_dirty if is_finished else None,
            failure_kind=kind,
            failure_message=_last_line(results) if kind and is_last and results else None,
            duration_seconds=used.get("wall_seconds"),
            peak_rss_mb=used.get("peak_memory_mb"),
            telemetry_meta=None,
            fragment=row.fragment,
            created_at=datetime.fromtimestamp(row.created_at, UTC),
            finished_at=execution.updated_at.replace(tzinfo=UTC) if execution is not None and is_finished else None,
            results_path=str(results) if successful and results else None,
        )


def _last_line(results: Path) -> str | None:
    """Return the last line of REF's log of an execution, which says why it failed."""
    try:
        tail = (results / upstream.EXECUTION_LOG_FILENAME).read_bytes()[-_LOG_TAIL_BYTES:]
    except OSError:  # It may be gone since; the kind of the failure is known all the same.
        return None
    lines = tail.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else None

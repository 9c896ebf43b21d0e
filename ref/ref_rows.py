"""What is written to REF's own rows, in REF's own way: results, failures, the dirty flag and what an execution used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.execution.outcome import Telemetry
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.attempt_rows import AttemptRow, chunks
from climate_ref_prefect.ref.failure_reasons import RefFailureReason, reason_of
from climate_ref_prefect.ref.resource_columns import fill_resource_columns
from climate_ref_prefect.ref.result_document import read_result
from climate_ref_prefect.ref.upstream import UpstreamMissingError
from climate_ref_prefect.ref.where_it_ran import where_it_ran
from climate_ref_prefect.store.errors import RecorderUnavailableError, ResultRefusedError
from climate_ref_prefect.store.port import Finalisation
from climate_ref_prefect.store.sql.engine import explained

_REAPED: Final = (RefFailureReason.ABANDONED, RefFailureReason.NOT_STARTED)
"""What REF's solve calls an execution that has been in progress for more than six hours."""


class _SessionHolder:
    """What REF's functions want of a `Database`: a session, here one of this package's own transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session


class RefRows:
    """
    Writes to REF's rows of executions and groups, within a transaction of the caller's.

    Parameters
    ----------
    config
        REF's configuration.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self.scratch: Path = Path(config.paths.scratch).resolve()
        self.results: Path = Path(config.paths.results)

    def keep_files(self, finished: FinishedExecution) -> None:
        """
        Copy what REF keeps of a success from scratch to its results directory: the same files as REF does.

        The copy of its log ends with a line that says where it ran.
        """
        fragment = self._fragment_of(finished)
        with _refusals_explained():
            upstream.copy_execution_outputs(
                self.scratch, self.results, fragment, read_result(finished.output), include_log=True
            )
        where = where_it_ran(finished.envelope.resources, finished.outcome.telemetry)
        if where:
            with (self.results / fragment / upstream.EXECUTION_LOG_FILENAME).open("a", encoding="utf-8") as log:
                log.write(f"\nclimate-ref-prefect: {where}\n")

    def ingest(self, session: Session, finished: FinishedExecution) -> None:
        """Record the values and outputs of a success by REF's own function; refused where somebody deleted the row."""
        row = session.get(upstream.Execution, finished.execution_id)
        if row is None:
            message = f"REF has no execution {finished.execution_id} any more: its group was deleted."
            raise ResultRefusedError(FailureKind.INVALID_RESULT, message)
        with _refusals_explained():
            result = read_result(finished.output)
            upstream.ingest_execution_result(
                _SessionHolder(session),
                row,
                result,
                self._vocabulary,
                output_base_path=self.scratch / self._fragment_of(finished),
            )
            row.path = str(result.as_relative_path(result.metric_bundle_filename))
        upstream.record_resource_usage(row, result.resource_usage, None)

    @cached_property
    def _vocabulary(self) -> Any:
        """What values may be named, read once for each solve: that takes longer than to record a small result."""
        return upstream.CV.load(self._config.paths.dimensions_cv_resource)

    def succeed(self, session: Session, attempt: AttemptRow, telemetry: Telemetry) -> None:
        """
        Mark an execution as a success, also where somebody has marked it as failed meanwhile, as REF does.

        Where its group was deleted (`ref executions delete-groups`), nothing is left to be marked.
        """
        row = session.get(upstream.Execution, attempt.execution_id)
        if row is None:
            return
        fill_resource_columns(row, attempt, telemetry, measured=self._config.executor.measure_resources)
        row.mark_successful(row.path)
        row.execution_group.dirty = False

    def fail(self, session: Session, attempt: AttemptRow, finalisation: Finalisation) -> None:
        """Mark an execution as failed, unless it has ended otherwise or is gone, with the reason in REF's log of it."""
        row = session.get(upstream.Execution, attempt.execution_id)
        if row is None or row.successful is not None:
            return
        failure, telemetry = finalisation.failure, finalisation.telemetry
        fill_resource_columns(row, attempt, telemetry, measured=self._config.executor.measure_resources)
        reason = reason_of(failure.kind if failure else None, has_begun=telemetry.started_at > 0)
        # No brackets: `ref executions inspect` would take the kind in them for markup, and show nothing of it.
        what = f"{failure.kind}: {failure.message}" if failure else "it was lost"
        where = where_it_ran(attempt.resources, telemetry)
        detail = f"{what} (attempt {attempt.attempt}){'; ' if where else ''}{where}"
        self._record_failure(row, reason, detail, dirty=not finalisation.clears_dirty)

    def abandon(self, session: Session, execution_id: int, reason: RefFailureReason, detail: str) -> tuple[int, ...]:
        """Mark an execution as failed that is in progress; its group becomes dirty. Returns it if that was so."""
        row = session.get(upstream.Execution, execution_id)
        if row is None or row.successful is not None:
            return ()
        self._record_failure(row, reason, detail, dirty=True)
        return (execution_id,)

    def _record_failure(self, row: Any, reason: RefFailureReason, detail: str, *, dirty: bool) -> None:
        upstream.record_failure(self._config, row, upstream.ExecutionFailureReason(reason.value), detail)
        row.execution_group.dirty = dirty

    def keep_log(self, output_directory: Path | None) -> None:
        """Copy the log of an execution to where REF shows it, as far as there is one."""
        if output_directory is not None:
            self._keep_log(output_directory)

    def _keep_log(self, output_directory: Path) -> None:
        with suppress(OSError, ValueError):  # A log that cannot be copied must not cost the record of its failure.
            fragment = output_directory.relative_to(self.scratch)
            upstream.copy_output_file(self.scratch, self.results, fragment, upstream.EXECUTION_LOG_FILENAME)

    def _fragment_of(self, finished: FinishedExecution) -> Path:
        return finished.output.relative_to(self.scratch)


def restore_reaped(session: Session, execution_ids: Sequence[int]) -> tuple[int, ...]:
    """
    Put executions back in progress that REF's solve has given up for their age alone. Returns which those were.

    REF does that before it makes its executor, and whether or not they still run.
    """
    execution = upstream.Execution
    reaped = select(execution).where(
        execution.successful.is_(False), execution.failure_reason.in_([reason.value for reason in _REAPED])
    )
    restored: tuple[int, ...] = ()
    for chunk in chunks(execution_ids):
        rows = session.scalars(reaped.where(execution.id.in_(chunk)).with_for_update()).all()
        for row in rows:
            row.successful = row.failure_reason = None
        restored += tuple(row.id for row in rows)
    return restored


@contextmanager
def _refusals_explained() -> Iterator[None]:
    """Turn what REF's functions raise about a result into `ResultRefusedError`; infrastructure faults pass."""
    try:
        with explained("of REF", in_use=True):
            yield
    except (OSError, MemoryError, RecorderUnavailableError, UpstreamMissingError):
        raise
    except Exception as error:
        message = f"REF refuses the result: {type(error).__name__}: {error}"
        raise ResultRefusedError(FailureKind.INVALID_RESULT, message) from error

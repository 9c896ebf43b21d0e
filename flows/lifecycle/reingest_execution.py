"""Publish and ingest the results of one finished execution again: from scratch, else from the results directory."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import (
    ClimateRefPrefectError,
    ResultValidationError,
    UnreadableDocumentError,
)
from climate_ref_prefect.execution.closed_attempt import Closed
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.flows.lifecycle.scratch_retention import remove_success
from climate_ref_prefect.flows.workspace.workspace import StoreWorkspace
from climate_ref_prefect.store.errors import NotReopenedError, StoreRefusedError
from climate_ref_prefect.store.publish_results import OutputUnreadableError, PublishError, publish, verify
from climate_ref_prefect.store.query_results import ExecutionRow, Reingestion
from climate_ref_prefect.store.read_results import check_vocabulary, read_results

Source = Literal["scratch", "results"]


class ReingestOutcome(StrEnum):
    """The result of ingesting the results of one execution again."""

    MENDED = "mended"
    """It had failed, and is a success now."""
    COMPLETED = "completed"
    """It was a success that was recorded incompletely. It is complete now."""
    UNCHANGED = "unchanged"
    """It was a success, and recorded completely."""
    REFUSED = "refused"
    """It must not be ingested again: closed, superseded by a later attempt, not ended, or without results."""
    MISSING = "missing"
    """Its results are neither on scratch nor in the results directory."""
    FAILED = "failed"
    """The error of its results, or of the results directory, still exists."""
    DIFFERENT = "different"
    """Its results differ from the recorded ones. Nothing was changed."""


FINE: Final = (ReingestOutcome.MENDED, ReingestOutcome.COMPLETED, ReingestOutcome.UNCHANGED)


_NOT_MENDED: Final = (
    OSError,
    ValueError,
    PublishError,
    OutputUnreadableError,
    ResultValidationError,
    UnreadableDocumentError,
    StoreRefusedError,
)
"""Errors that concern one execution. An unavailable database or a lost lease concerns all of them."""


class Reingested(FrozenModel):
    """The result for one execution."""

    execution_id: int
    label: str
    """Name for people: provider, diagnostic and key."""

    was: FailureKind | None
    """Its earlier failure kind; None for a success."""

    outcome: ReingestOutcome
    source: Source | None = None
    """The directory in which its results were found."""

    message: str = ""
    """The reason, if it is not obvious."""


class _MissingError(ClimateRefPrefectError):
    """The results do not exist any more."""


def reingest_one(workspace: StoreWorkspace, row: ExecutionRow) -> Reingested:
    """
    Publish and ingest the results of an execution again, and return the result. Recorded values are never changed.

    Parameters
    ----------
    workspace
        This process coordinates on it.
    row
        The execution.

    Raises
    ------
    StoreUnavailableError, LeaseLostError
        If the database cannot be reached, or another coordinator has taken over; nothing of it was recorded then.
    """

    def said(outcome: ReingestOutcome, message: str = "", source: Source | None = None) -> Reingested:
        was = None if row.successful else row.failure_kind
        return Reingested(
            execution_id=row.execution_id, label=row.label, was=was, outcome=outcome, source=source, message=message
        )

    source: Source | None = None
    try:
        _check(workspace, row)
        source, directory = _bring(workspace, row)
        recorded = _record(workspace, row, directory)
    except NotReopenedError as error:
        return said(ReingestOutcome.REFUSED, str(error))
    except _MissingError as error:
        return said(ReingestOutcome.MISSING, str(error))
    except _NOT_MENDED as error:
        return said(ReingestOutcome.FAILED, str(error), source)
    return said(*_outcome_of(recorded, source), source)


def _outcome_of(recorded: Reingestion, source: Source) -> tuple[ReingestOutcome, str]:
    if recorded.differing:
        return ReingestOutcome.DIFFERENT, "; ".join(recorded.differing)
    said = [f"{recorded.added} values and files recorded"] if recorded.added else []
    said += ["published again"] if recorded.moved and source == "scratch" else []
    if recorded.mended:
        return ReingestOutcome.MENDED, ", ".join(said)
    return (ReingestOutcome.COMPLETED if recorded.added or recorded.moved else ReingestOutcome.UNCHANGED), ", ".join(
        said
    )


def _check(workspace: StoreWorkspace, row: ExecutionRow) -> None:
    workspace.store.check_reingestion(row.execution_id)
    files = ExecutionDirectory(workspace.scratch / row.fragment)
    if files.is_closed():
        raise NotReopenedError(f"it was closed{_reason(files)}")


def _reason(files: ExecutionDirectory) -> str:
    try:
        return f": {Closed.from_json((files.path / 'closed.json').read_bytes()).reason}"
    except (OSError, ValueError, ClimateRefPrefectError):  # A document that cannot be read closes the attempt, too.
        return ""


def _bring(workspace: StoreWorkspace, row: ExecutionRow) -> tuple[Source, Path]:
    """Return where the results lie that can be recorded, and where they came from; publishes what is on scratch."""
    files, target = ExecutionDirectory(workspace.scratch / row.fragment), _target(workspace, row)
    outcome = _outcome_left(files)
    if outcome is not None and outcome.failure is not None:
        raise NotReopenedError(
            f"its worker left no valid result ({outcome.failure.message}): only another run can, by `solve`, "
            "with `--rerun failed` where it was given up"
        )
    if outcome is not None and files.output.is_dir():
        publish(files, outcome.manifest, target, workspace.store.confirm_lease)
        return "scratch", target
    if target.is_dir():
        verify(target, outcome.manifest if outcome else None)
        return "results", target
    raise _MissingError(f"its results are neither on scratch ({files.output}) nor in the results directory ({target})")


def _target(workspace: StoreWorkspace, row: ExecutionRow) -> Path:
    """Return the directory of its published results if it exists; otherwise the one by the present settings."""
    if row.results_path and Path(row.results_path).is_dir():
        return Path(row.results_path)
    return workspace.results / row.fragment


def _outcome_left(files: ExecutionDirectory) -> ExecutionOutcome | None:
    try:
        return files.read_outcome()
    except UnreadableDocumentError:  # Torn, or of another version. The published results may still be complete.
        return None


def _record(workspace: StoreWorkspace, row: ExecutionRow, directory: Path) -> Reingestion:
    results = read_results(directory)
    strict = workspace.settings.vocabulary_is_strict
    for warning in check_vocabulary(results, workspace.vocabulary, strict=strict):
        get_run_logger().error("%s #%d: %s", row.label, row.execution_id, warning)
    recorded = workspace.store.reingest(
        row.execution_id, results.outputs, results.metrics, results.series, results_path=str(directory)
    )
    if recorded.mended and workspace.settings.keep_scratch != "all":
        remove_success(ExecutionDirectory(workspace.scratch / row.fragment), workspace.settings)
    return recorded


def counted(executions: "tuple[Reingested, ...]") -> Mapping[ReingestOutcome, int]:
    """Return the number of executions by outcome, in the order of the outcomes."""
    found = {outcome: sum(item.outcome is outcome for item in executions) for outcome in ReingestOutcome}
    return {outcome: number for outcome, number in found.items() if number}

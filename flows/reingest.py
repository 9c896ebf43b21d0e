"""The flow `reingest`: publish and ingest again results that can be recorded now or were recorded incompletely."""

import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed

from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.coordinator_workspace import coordinator_workspace
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.display.text_escaping import LONGEST_MESSAGE, one_line
from climate_ref_prefect.flows.lifecycle.deferred_signals import DeferredSignals
from climate_ref_prefect.flows.lifecycle.reingest_execution import FINE, Reingested, counted, reingest_one
from climate_ref_prefect.flows.report.prefect_artifacts import create_artifact_table
from climate_ref_prefect.flows.results.executions_by_number import executions_by_number
from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.store.sql.record_reingestion import MENDABLE
from climate_ref_prefect.store.sql.sql_store import Store


class ReingestReport(TabularReport):
    """Report on each execution, shown as a table in notebooks and on consoles."""

    columns: ClassVar = ("execution", "was", "outcome", "from", "message")

    executions: tuple[Reingested, ...] = ()
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether all of them are successes whose results are recorded."""
        return all(item.outcome in FINE for item in self.executions)

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        if not self.executions:
            return "No execution to ingest again."
        found = ", ".join(f"{number} {outcome}" for outcome, number in counted(self.executions).items())
        return f"{found}; {self.seconds:.1f} s."

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per execution."""
        for item in self.executions:
            label = f"{item.label} #{item.execution_id}"
            yield (
                label,
                item.was or "success",
                item.outcome,
                item.source or "",
                one_line(item.message, LONGEST_MESSAGE),
            )


@flow(name="reingest", validate_parameters=True)
def reingest(
    execution_ids: list[int] = [],  # noqa: B006 - Prefect shows the default in its form and never changes it
    providers: list[str] | None = None,
    diagnostics: list[str] | None = None,
    kinds: list[FailureKind] | None = None,
    *,
    failed_only: bool = True,
) -> ReingestReport:
    """
    Publish and ingest results again: what failed there and is mended now becomes a success. Runs no diagnostic.

    Args:
        execution_ids: Numbers of executions, as `status` shows them; if there are none, the latest attempts of all
            groups that the other parameters choose.
        providers: Slugs of the providers to choose from; none for all.
        diagnostics: Slugs of the diagnostics to choose from; none for all.
        kinds: Failures to choose from, of `vocabulary_mismatch`, `publish_failed` and `invalid_result`; none for all.
        failed_only: Whether to leave out successes; what was not recorded of them, for whatever reason, is added.
    """
    began = time.monotonic()
    check_request(execution_ids, providers, diagnostics, kinds)
    executions = []
    with coordinator_workspace() as workspace:
        if execution_ids:
            rows = executions_by_number(workspace.store, execution_ids)
        else:
            rows = _chosen(workspace.store, providers, diagnostics, kinds, failed_only=failed_only)
        for row in rows:
            with DeferredSignals():
                executions.append(reingest_one(workspace, row))
            _log(executions[-1])
    report = ReingestReport(executions=tuple(executions), seconds=time.monotonic() - began)
    with best_effort("the table there"):
        create_artifact_table("reingest", report.columns, report.cells(), report.headline())
    return Completed(message=report.headline(), data=report)  # type: ignore[return-value]  # callers get the data


def _log(item: Reingested) -> None:
    get_run_logger().info("%s #%d: %s. %s", item.label, item.execution_id, item.outcome, item.message)


def check_request(
    execution_ids: Sequence[int],
    providers: Sequence[str] | None,
    diagnostics: Sequence[str] | None,
    kinds: Sequence[FailureKind] | None,
) -> None:
    """Raise `BadInputError` for errors that are visible before a flow run, or a server for it, is started."""
    if execution_ids and (providers or diagnostics or kinds):
        raise BadInputError("Give numbers of executions, or what to choose them by, but not both.")
    for kind in kinds or ():
        if kind not in MENDABLE:
            raise BadInputError(f"What failed by {kind} has no results: kinds are {', '.join(MENDABLE)}.")


def _chosen(
    store: Store,
    providers: Sequence[str] | None,
    diagnostics: Sequence[str] | None,
    kinds: Sequence[FailureKind] | None,
    *,
    failed_only: bool,
) -> Sequence[ExecutionRow]:
    latest = {row.label: row for row in store.executions(newest_first=False)}.values()
    _check_names("recorded provider", providers, {row.provider for row in latest})
    _check_names("recorded diagnostic", diagnostics, {row.diagnostic for row in latest})
    return [
        row
        for row in latest
        if (providers is None or row.provider in providers)
        and (diagnostics is None or row.diagnostic in diagnostics)
        and (row.failure_kind in (kinds or MENDABLE) if not row.successful else not failed_only and kinds is None)
    ]


def _check_names(what: str, names: Sequence[str] | None, known: set[str]) -> None:
    for name in names or ():
        if name not in known:
            raise UnknownNameError(what, name, known)

"""The flow `replay-abandoned`: settle the executions of a dead coordinator, and start nothing."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, Self

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed

from climate_ref_prefect.flows.coordinator_workspace import coordinator_workspace
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.display.text_escaping import one_line
from climate_ref_prefect.flows.lifecycle.recover_unfinished import settle_leftovers
from climate_ref_prefect.flows.report.prefect_artifacts import create_artifact_table
from climate_ref_prefect.flows.report.solve_report import read_rows
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.best_effort_calls import best_effort
from climate_ref_prefect.flows.server.task_run_counter import counter_of_flow_run
from climate_ref_prefect.flows.transport_choice import TransportChoice
from climate_ref_prefect.flows.transport_parameter import transport_of
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.store.publish_results import remove_leftovers
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import traits_of
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

_CLOSE_SECONDS: Final = 10.0


class RecoveryReport(TabularReport):
    """Report on the executions of a dead coordinator, shown as a table."""

    columns: ClassVar = ("execution", "transport", "outcome", "message")

    transport: str
    """Name of the transport that was asked about its executions."""

    settled: tuple[ExecutionRow, ...] = ()
    """Executions that have ended and are recorded now. The next solve runs those that may still succeed."""

    running: tuple[ExecutionRow, ...] = ()
    """Executions of this transport that may still run. They are left alone."""

    elsewhere: tuple[ExecutionRow, ...] = ()
    """Executions of other transports that may still run. Only those transports can tell."""

    busy: str = ""
    """The other coordinator that holds the workspace, in which case nothing was done; else empty."""

    seconds: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[ExecutionRow], transport: str, seconds: float) -> Self:
        """
        Return the report on what a dead coordinator has left.

        Parameters
        ----------
        rows
            The executions, as they are recorded now.
        transport
            Name of the transport that was asked about them.
        seconds
            How long it took.
        """
        unsettled = [row for row in rows if row.finished_at is None]
        return cls(
            transport=transport,
            settled=tuple(row for row in rows if row.finished_at is not None),
            running=tuple(row for row in unsettled if row.transport in (None, transport)),
            elsewhere=tuple(row for row in unsettled if row.transport not in (None, transport)),
            seconds=seconds,
        )

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        if self.busy:
            return f"Nothing done: {self.busy}"
        if not (self.settled or self.running or self.elsewhere):
            return "No coordinator has left anything behind."
        outcomes = Counter(row.outcome for row in self.settled)
        found = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        parts = [f"{len(self.settled)} settled" + (f" ({found})" if found else "")]
        if self.running:
            parts.append(f"{len(self.running)} may still run")
        if self.elsewhere:
            parts.append(f"{len(self.elsewhere)} of other transports")
        return f"{', '.join(parts)}; {self.seconds:.1f} s."

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per execution."""
        for row in self.settled:
            yield _name(row), row.transport or "", row.outcome, one_line(row.failure_message or "")
        for row in (*self.running, *self.elsewhere):
            yield _name(row), row.transport or "", "may still run", "left alone"

    def remarks(self) -> Iterator[str]:
        """Yield what to do about those that were left alone."""
        if self.running:
            yield "What may still run is settled by the next `recover` or `solve` once it has ended."
        for name in sorted({row.transport or "" for row in self.elsewhere}):
            executions = ", ".join(_name(row) for row in self.elsewhere if row.transport == name)
            yield f"{executions}: given to the transport {name!r}. Settle with {_command_for(name)}."


def _name(row: ExecutionRow) -> str:
    return f"{row.label} #{row.execution_id}"


def _command_for(transport: str) -> str:
    if traits_of(transport).usable_by_name:
        return f"`climate-ref-prefect recover --transport {transport}`"
    return (
        f"`climate-ref-prefect recover --transport PROFILE`, with the site profile of the kind {transport} that it had"
    )


@flow(name="replay-abandoned", validate_parameters=True)
def replay_abandoned(
    transport: TransportChoice = LocalTransport(),  # noqa: B008 - frozen
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - Prefect shows the default in its form and never changes it
) -> RecoveryReport:
    """
    Settle the executions of a coordinator that died: record results and classify failures. Starts nothing new.

    Args:
        transport: Where those executions were run; it can tell which of them have ended.
        retry_rules: Decide about failures, as those of `solve`; they come before the rules of the site's file.
    """
    place = transport_of(transport)
    try:
        report = _recover(place, retry_rules)
    except CoordinatorBusyError as busy:
        report = RecoveryReport(transport=place.name, busy=str(busy))
    with escaped_logs():
        get_run_logger().info(report.headline())
    with best_effort("the table there"):
        create_artifact_table("recovery", report.columns, report.cells(), report.headline())
    return Completed(message=report.headline(), data=report)  # type: ignore[return-value]  # callers get the data


def _recover(transport: Transport, retry_rules: Sequence[RetryRule]) -> RecoveryReport:
    began = time.monotonic()
    with coordinator_workspace(retry_rules) as workspace:
        remove_leftovers(workspace.results)
        transport.open(workspace.store.identity())
        left = [execution.execution_id for execution in workspace.recorder.unfinished()]
        task_run_counter = counter_of_flow_run()
        try:
            settle_leftovers(workspace, transport, task_run_counter)
        finally:
            transport.close(_CLOSE_SECONDS)  # It may have to remove keys of the dead coordinator.
        rows = read_rows(workspace.store, left)
        task_run_counter.wait_until_recorded()
    return RecoveryReport.of(rows, transport.name, time.monotonic() - began)

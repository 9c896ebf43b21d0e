"""The report of a solve: tables for a shell, a notebook and Prefect's UI."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from rich.table import Table

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.flows.display.tables import TabularReport, add_row, console_table
from climate_ref_prefect.flows.display.text_escaping import LONGEST_MESSAGE, one_line
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.retry.retry_policy import DEFAULT_RULE
from climate_ref_prefect.flows.server.recorded_task_runs import RecordedTaskRuns
from climate_ref_prefect.store.query_results import LOST_KINDS, ExecutionRow
from climate_ref_prefect.store.reading_port import ExecutionReader


class DiagnosticSummary(FrozenModel):
    """Summary of the executions of one diagnostic in one solve, with requested and used resources."""

    diagnostic: str
    """Provider and diagnostic."""
    succeeded: int
    failed: int
    retried: int
    median_seconds: float | None
    asked_memory_mb: int
    """Largest memory that any of them asked for, in MiB."""
    used_memory_mb: float | None
    """Largest memory that any of them used, in MiB."""
    retry_rule: str = DEFAULT_RULE
    """The retry rule that applied to them."""


class ExecutionsFailedError(ClimateRefPrefectError):
    """
    Executions have failed.

    Parameters
    ----------
    report
        What was run.
    """

    def __init__(self, report: "ExecutionsReport") -> None:
        self.report = report
        super().__init__(report)

    def __str__(self) -> str:
        return "\n".join([self.report.headline(), *self.report.remarks()])


class ExecutionsReport(TabularReport):
    """Report on executions that were run, by diagnostic; `headline` and `ok` are left to each kind of solve."""

    columns: ClassVar = (
        "diagnostic",
        "succeeded",
        "failed",
        "retried",
        "median s",
        "asked MiB",
        "used MiB",
        "retry rule",
    )

    executions: tuple[ExecutionRow, ...]
    """Every attempt, in the order in which they were allocated."""

    seconds: float
    """From the start to the last result that was recorded."""

    results_directory: str

    @property
    def succeeded(self) -> int:
        """Number of executions that succeeded."""
        return sum(1 for row in self.executions if row.successful)

    @property
    def failed(self) -> tuple[ExecutionRow, ...]:
        """The executions that failed and that no later attempt replaced."""
        last = {row.label: row for row in self.executions}
        return tuple(row for row in last.values() if not row.successful)

    @property
    def ok(self) -> bool:
        """Whether everything that was to succeed has succeeded."""
        raise NotImplementedError

    @property
    def has_given_up(self) -> bool:
        """Whether something has failed for good, so that the next solve would not run it."""
        return any(row.retryable is False for row in self.failed)

    def raise_for_failures(self) -> None:
        """
        Raise unless everything that was to succeed has succeeded.

        Raises
        ------
        ExecutionsFailedError
            With the report, and a message that says what to do.
        """
        if not self.ok:
            raise ExecutionsFailedError(self)

    def counts(self) -> list[str]:
        """Return in words how many executions succeeded, failed, and were lost with their worker or node."""
        lost = sum(row.failure_kind in LOST_KINDS for row in self.failed)
        words = [f"{self.succeeded} succeeded", f"{len(self.failed) - lost} failed"]
        return [*words, f"{lost} lost"] if lost else words

    def summary(self) -> tuple[DiagnosticSummary, ...]:
        """Return one line per diagnostic."""
        return summarise(self.executions, self.retry_rules)

    @property
    def retry_rules(self) -> Mapping[str, str]:
        """The retry rule of each diagnostic that was run, by provider and diagnostic; others have the default."""
        return {}

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per diagnostic."""
        for line in self.summary():
            yield (
                line.diagnostic,
                str(line.succeeded),
                str(line.failed),
                str(line.retried),
                "" if line.median_seconds is None else f"{line.median_seconds:.2f}",
                str(line.asked_memory_mb),
                "" if line.used_memory_mb is None else f"{line.used_memory_mb:.0f}",
                line.retry_rule,
            )

    def tables(self) -> Iterator[Table]:
        """Yield a table of the diagnostics, and one of the failures."""
        yield from super().tables()
        if self.failed:
            failures = console_table("execution", "kind", "message", title="Failed")
            for row in self.failed:
                add_row(
                    failures, (f"{row.label} #{row.execution_id}", row.failure_kind or "", row.failure_message or "")
                )
            yield failures

    def next_steps(self) -> Iterator[str]:
        """Yield for each kind of failure what to do next."""
        for kind in dict.fromkeys(row.failure_kind for row in self.failed if row.failure_kind):
            rule = FAILURE_RULES[kind]
            yield f"{kind} ({rule.title}): {rule.next_step}"


class SolveReport(ExecutionsReport):
    """Report of a solve, which is shown as tables in notebooks and on consoles."""

    plan: Plan
    leftovers: Leftovers
    recorded: RecordedTaskRuns
    """How many of the task runs Prefect's server has recorded."""

    running_seconds: float
    """The part of `seconds` that the lifecycle took, without planning."""

    @property
    def ok(self) -> bool:
        """Whether every group has succeeded, now or before, and every provider could be used."""
        return not self.failed and not self._unsettled

    @property
    def has_given_up(self) -> bool:
        """Whether this solve has given something up, or could not plan it."""
        return bool(self.plan.broken or self.leftovers.given_up) or super().has_given_up

    @property
    def retry_rules(self) -> Mapping[str, str]:
        """The retry rule of each diagnostic that was run, by provider and diagnostic."""
        return {
            f"{item.definition.provider}/{item.definition.diagnostic}": item.retry_rule for item in self.plan.executions
        }

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        if not self.executions and not self._unsettled:
            return f"All up to date: {self.plan.up_to_date} groups have succeeded on these inputs before."
        parts = [*self.counts(), f"{self.plan.up_to_date} up to date"]
        if self.plan.given_up:
            parts.append(f"{self.plan.given_up} given up before (run them with rerun='failed')")
        if self.leftovers.elsewhere:
            parts.append(f"{len(self.leftovers.elsewhere)} left alone")
        if self.plan.broken:
            parts.append(f"{len(self.plan.broken)} could not be planned")
        return ", ".join(parts) + f"; {self.seconds:.1f} s."

    @property
    def _unsettled(self) -> bool:
        """Whether there are groups that have not succeeded and were not run."""
        return bool(self.plan.broken or self.plan.given_up or self.leftovers.elsewhere)

    def remarks(self) -> Iterator[str]:
        """Yield where the results are, what to do next, and what was left out."""
        if self.succeeded:
            yield f"Results lie in {self.results_directory}. Look at them with: climate-ref-prefect show"
        if self.failed:
            yield f"Read the log of one with: climate-ref-prefect log {self.failed[0].execution_id}"
        yield from self.next_steps()
        for provider in self.plan.broken:
            yield f"{provider.name} could not be run: {one_line(provider.failure.message, LONGEST_MESSAGE)}"
        if self.leftovers.settled:
            given_up = f", {self.leftovers.given_up} of them given up" if self.leftovers.given_up else ""
            yield f"{self.leftovers.settled} executions of a coordinator that had ended were taken up again{given_up}."
        for label in self.leftovers.elsewhere:
            yield f"{label} was left alone: it may still run, in a batch job or on another host. Solve again later."
        if not self.recorded.complete:
            yield (
                f"{self.recorded.headline()} The store has all results. docs/how-to/prefect-server.md says how to tune "
                "the server."
            )


def summarise(rows: Sequence[ExecutionRow], retry_rules: Mapping[str, str]) -> tuple[DiagnosticSummary, ...]:
    """Summarise executions by diagnostic, in the order of their names."""
    by_diagnostic: dict[str, list[ExecutionRow]] = {}
    for row in rows:
        by_diagnostic.setdefault(f"{row.provider}/{row.diagnostic}", []).append(row)
    return tuple(
        _summary(name, by_diagnostic[name], retry_rules.get(name, DEFAULT_RULE)) for name in sorted(by_diagnostic)
    )


def _summary(name: str, rows: Sequence[ExecutionRow], retry_rule: str) -> DiagnosticSummary:
    durations = sorted(row.duration_seconds for row in rows if row.duration_seconds is not None)
    last = {row.label: row for row in rows}
    return DiagnosticSummary(
        diagnostic=name,
        succeeded=sum(1 for row in last.values() if row.successful),
        failed=sum(1 for row in last.values() if not row.successful),
        retried=len(rows) - len(last),
        median_seconds=durations[len(durations) // 2] if durations else None,
        asked_memory_mb=max(row.asked.memory_mb for row in rows),
        used_memory_mb=max((row.peak_rss_mb for row in rows if row.peak_rss_mb is not None), default=None),
        retry_rule=retry_rule,
    )


def read_rows(reader: ExecutionReader, execution_ids: Sequence[int]) -> tuple[ExecutionRow, ...]:
    """Return the rows of some executions, oldest first."""
    return tuple(reader.executions(execution_ids=execution_ids, newest_first=False)) if execution_ids else ()

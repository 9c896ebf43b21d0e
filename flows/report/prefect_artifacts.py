"""Artifacts that Prefect's UI shows beside the task runs of a solve: progress, tables and some plots."""

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from climate_ref_prefect.flows.display.text_escaping import markdown_text
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.report.solve_report import ExecutionsReport
from climate_ref_prefect.flows.retry.retry_policy import DEFAULT_RULE

_PLOTS: Final = 6
_LARGEST_PLOT_BYTES: Final = 200_000


class Progress:
    """
    A progress bar in the UI, and a line in the log.

    Parameters
    ----------
    total
        Number of executions, without retries.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._artifact: UUID | None = None

    def report(self, *, done: int, failed: int, unfinished: int) -> None:
        """Update the progress bar and log a line."""
        percent = round(100.0 * done / self._total, 1) if self._total else 100.0
        if self._artifact is None:
            created = create_progress_artifact(percent, key="solve-progress", description="Executions done")
            assert isinstance(created, UUID)  # noqa: S101 - it is awaitable in an async context only
            self._artifact = created
        else:
            update_progress_artifact(self._artifact, percent)
        get_run_logger().info("%d of %d done, %d failed, %d under way", done, self._total, failed, unfinished)


def create_solve_artifacts(report: ExecutionsReport) -> None:
    """Create the artifacts of a finished solve."""
    create_markdown_artifact(_results_page(report), key="solve-results", description=report.headline())
    if not report.executions:
        return
    rows = [
        dict(zip(report.columns, (markdown_text(name), *numbers, markdown_text(rule)), strict=True))
        for name, *numbers, rule in report.cells()
    ]
    create_table_artifact(rows, key="solve-summary", description="By diagnostic: asked against used.")
    create_table_artifact(_execution_cells(report), key="solve-executions", description="Every attempt.")


def create_plan_artifact(plan: Plan) -> None:
    """Create the artifacts of a plan."""
    create_table_artifact(
        [
            {
                "execution": markdown_text(item.definition.label),
                "cpu": item.granted.cpu,
                "memory MiB": item.granted.memory_mb,
                "wall clock": str(item.granted.wall_clock),
                "queue": markdown_text(item.granted.queue or ""),
                "retry rule": markdown_text(item.retry_rule),
            }
            for item in plan.executions
        ],
        key="plan",
        description="\n\n".join(
            [
                f"{len(plan.executions)} executions, at most {plan.cpu_hours:.1f} CPU hours, "
                f"the largest with {plan.largest_memory_mb} MiB; {plan.up_to_date} groups are up to date.",
                *map(markdown_text, plan.clipped()),
                *_not_planned(plan),
            ]
        ),
    )


def _results_page(report: ExecutionsReport) -> str:
    """
    Return a page that names the results directory and shows some plots.

    The plots are part of the page, because below an image artifact the UI would print its whole data as its address.
    """
    parts = [
        report.headline(),
        f"Results lie in {markdown_text(report.results_directory)}, one directory per execution.",
    ]
    for plot in _plots(report):
        encoded = base64.b64encode(plot.read_bytes()).decode()
        path = os.path.relpath(plot, report.results_directory)
        parts += [markdown_text(path), f"![plot](data:image/png;base64,{encoded})"]
    return "\n\n".join(parts)


def _not_planned(plan: Plan) -> list[str]:
    return [f"{markdown_text(one.name)} cannot be run: {markdown_text(one.failure.message)}" for one in plan.broken]


def _execution_cells(report: ExecutionsReport) -> list[dict[str, str]]:
    retry_rules = report.retry_rules
    return [
        {
            "execution": markdown_text(f"{row.label} #{row.execution_id}"),
            "attempt": str(row.attempt),
            "outcome": row.outcome,
            "seconds": "" if row.duration_seconds is None else f"{row.duration_seconds:.2f}",
            "retry rule": markdown_text(retry_rules.get(f"{row.provider}/{row.diagnostic}", DEFAULT_RULE)),
            "message": markdown_text(row.failure_message or ""),
        }
        for row in report.executions
    ]


def _plots(report: ExecutionsReport) -> Iterator[Path]:
    """Choose a few plots: one of each diagnostic first, then more models."""
    by_diagnostic: dict[str, list[Path]] = {}
    for row in report.executions:
        if row.results_path is not None:
            found = [path for path in sorted(Path(row.results_path).glob("**/*.png")) if _is_small(path)]
            by_diagnostic.setdefault(row.diagnostic, []).extend(found[:1])
    chosen = [plot for plots in by_diagnostic.values() for plot in plots[: _PLOTS // max(1, len(by_diagnostic)) or 1]]
    yield from chosen[:_PLOTS]


def _is_small(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _LARGEST_PLOT_BYTES  # A directory may have such a name, too.


def create_artifact_table(key: str, columns: Sequence[str], rows: Iterable[Sequence[str]], description: str) -> None:
    """Create a table artifact of texts, unless there are no rows."""
    if table := [dict(zip(columns, map(markdown_text, cells), strict=True)) for cells in rows]:
        create_table_artifact(table, key=key, description=description)

"""The provider of the contract suites: its diagnostics behave, on request, as badly as diagnostics can."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import CommandLineDiagnostic, Diagnostic
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.testing.providers.diagnostic_behaviours import (
    BadFlush,
    NoFlush,
    allocate,
    close_error_output,
    close_error_output_and_fail,
    close_output,
    detach_error_output,
    escape_by_link,
    fill_disk,
    hang,
    kill_self,
    leave_chain,
    leave_tree,
    print_much,
    print_odd_letters,
    raise_error,
    raise_from_itself,
    replace_output,
    report_environment,
    see_state,
    segfault,
    wait_to_go,
    work,
    wrap_output,
)

PER_DATASET = DataRequirement(group_by=("source_id", "table_id"))
SMALL = ResourceHint(memory_mb=256, wall_clock=timedelta(seconds=60))


def some_metrics(definition: ExecutionDefinition, value: float = 1.5) -> MetricBundle:
    """Return metrics that the default vocabulary accepts."""
    source = definition.selectors.get("source_id", "any")
    return MetricBundle.from_scalars(("source_id", "statistic"), {(source, "mean"): value})


class Behaving(Diagnostic):
    """Does what a function says, then returns a small result."""

    data = PER_DATASET
    resources = SMALL

    def __init__(self, slug: str, act: Callable[[Path], object], resources: ResourceHint = SMALL) -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self.resources = resources  # type: ignore[misc]
        self._act = act

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        answer = self._act(output_directory)
        return answer if answer is not None else ExecutionResult(metrics=some_metrics(definition))  # type: ignore[return-value]


class Writing(Diagnostic):
    """Leaves a file and a series."""

    slug = "writing"
    name = "Writes a file"
    data = PER_DATASET
    resources = SMALL

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        print(f"writing for {definition.key}")  # noqa: T201 - this goes to run.log
        (output_directory / "values.txt").write_text("1 2 3\n", encoding="utf-8")
        source = definition.selectors.get("source_id", "any")
        return ExecutionResult(
            metrics=some_metrics(definition),
            outputs=OutputBundle(data={"values": OutputFile(filename="values.txt", long_name="Three values")}),
            series=(
                Series(dimensions={"source_id": source}, index_name="month", index=(1, 2, 3), values=(1.0, None, 3.0)),
            ),
        )


class Command(CommandLineDiagnostic):
    """Runs a shell command line given when it is made, by the program given."""

    data = PER_DATASET
    resources = SMALL

    def __init__(self, slug: str, line: str, program: str = "sh") -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self._command = [program, "-c", line]

    def command(self, definition: ExecutionDefinition, output_directory: Path) -> list[str]:
        return self._command

    def collect(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        return ExecutionResult(metrics=some_metrics(definition))


ONE_SECOND = ResourceHint(memory_mb=256, wall_clock=timedelta(seconds=1))

provider = DiagnosticProvider(
    slug="test",
    name="Test provider",
    version="1",
    diagnostics=[
        Behaving("noop", lambda _: None),
        Writing(),
        Behaving("own-error", raise_error(DiagnosticError("no such method"))),
        Behaving("value-error", raise_error(ValueError("wrong"))),
        Behaving("os-error", raise_error(OSError("disk on fire"))),
        Behaving("memory-error", raise_error(MemoryError())),
        Behaving("system-exit", raise_error(SystemExit(3))),
        Behaving("own-cause", raise_from_itself),
        Behaving("output-closed", close_output),
        Behaving("output-wrapped", wrap_output),
        Behaving("error-output-closed", close_error_output),
        Behaving("error-output-detached", detach_error_output),
        Behaving("error-output-closed-and-failed", close_error_output_and_fail),
        Behaving("output-none", replace_output(None)),
        Behaving("output-without-flush", replace_output(NoFlush())),
        Behaving("output-that-raises", replace_output(BadFlush())),
        Behaving("segfault", segfault),
        Behaving("os-exit", lambda _: os._exit(7)),
        Behaving("killed", kill_self),
        Behaving("hang", hang, ONE_SECOND),
        Behaving("sleep", lambda _: time.sleep(1)),
        Behaving("nap", lambda _: time.sleep(0.2)),
        Behaving("long", lambda _: time.sleep(600)),
        Behaving("tree", lambda output: leave_tree(output, lambda _: None)),
        Behaving("tree-hang", lambda output: leave_tree(output, hang), ONE_SECOND),
        Behaving("tree-crash", lambda output: leave_tree(output, segfault)),
        Behaving("tree-long", lambda output: leave_tree(output, lambda _: time.sleep(600))),
        Behaving("chain-long", leave_chain),
        Behaving("wait-to-go", wait_to_go),
        Behaving("work", work),
        Behaving("fill-disk", fill_disk),
        Behaving("allocate", allocate),
        Behaving("print-much", print_much),
        Behaving("print-odd-letters", print_odd_letters),
        Behaving("not-a-result", lambda _: {"set": {1, 2}}),
        Behaving("not-json", lambda _: ExecutionResult(metrics=MetricBundle.from_scalars(("a",), {("b",): {1}}))),  # type: ignore[dict-item]
        Behaving(
            "missing-file",
            lambda _: ExecutionResult(
                metrics=MetricBundle.from_scalars(("source_id",), {("any",): 1.0}),
                outputs=OutputBundle(data={"none": OutputFile(filename="none.nc")}),
            ),
        ),
        Behaving("link", escape_by_link),
        Behaving("state", see_state),
        Behaving("environment", report_environment),
        Command("command", "echo from the command"),
        Command("command-fails", "echo broken >&2; exit 3"),
        Command("command-killed", "kill -9 $$"),
        Command("command-missing", "", "no-such-program"),
    ],
)
fresh = DiagnosticProvider("fresh", "Fresh provider", "1", provider.diagnostics.values(), isolation="fresh")

"""Diagnostics that write a file and do not close it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import PER_DATASET, SMALL, some_metrics

LINES = 1000
kept: list[Any] = []
"""What is in here is open for as long as the process lives."""


def text_file(path: Path) -> object:
    file = path.open("w", encoding="utf-8")
    file.writelines(f"{number}\n" for number in range(LINES))
    return file


def binary_file(path: Path) -> object:
    file = path.open("wb")
    file.write(b"".join(f"{number}\n".encode() for number in range(LINES)))
    return file


class Cycle:
    """Keeps itself, and a file."""

    def __init__(self, path: Path) -> None:
        self.me = self
        self.file = text_file(path)


class LeavesOpen(Diagnostic):
    """Opens `values.txt` and leaves it at that."""

    data = PER_DATASET
    resources = SMALL

    def __init__(self, slug: str, write: Callable[[Path], object], *, keeps: bool) -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self._write = write
        self._keeps = keeps

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        opened = self._write(output_directory / "values.txt")
        if self._keeps:
            kept.append(opened)
        return ExecutionResult(
            metrics=some_metrics(definition), outputs=OutputBundle(data={"values": OutputFile(filename="values.txt")})
        )


provider = DiagnosticProvider(
    "leaves-open",
    "Leaves its files open",
    "1",
    [
        LeavesOpen("text", text_file, keeps=True),
        LeavesOpen("binary", binary_file, keeps=True),
        LeavesOpen("cycle", Cycle, keeps=False),
    ],
)

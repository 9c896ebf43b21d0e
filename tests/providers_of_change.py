"""A provider for tests: diagnostics whose data files change while they run, and one that draws random numbers."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import PER_DATASET, SMALL, segfault, some_metrics


class Changing(Diagnostic):
    """Does something to its last data file, then goes on."""

    data = PER_DATASET
    resources = SMALL

    def __init__(self, slug: str, act: Callable[[Path], object]) -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self._act = act

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        self._act(definition.datasets[-1].files[-1])
        return ExecutionResult(metrics=some_metrics(definition))


def append(file: Path) -> None:
    with file.open("a") as open_file:
        open_file.write("more")


def replace_same_size(file: Path) -> None:
    """Replace it by another of the same size, as `mv` does."""
    other = file.with_suffix(".new")
    other.write_bytes(bytes(file.stat().st_size))
    other.replace(file)


def set_back(file: Path) -> None:
    """Give it a time of long ago, as `rsync --times` and `tar` do."""
    os.utime(file, (1_000_000_000, 1_000_000_000))


def fail(file: Path) -> None:
    append(file)
    raise DiagnosticError("the file was shorter when it was opened")


def crash(file: Path) -> None:
    append(file)
    segfault(file)


def draw(_: Path) -> None:
    print(*(random.random() for _ in range(3)), flush=True)  # noqa: T201 - this goes to run.log
    print(*np.random.random(3), flush=True)  # noqa: T201 - this goes to run.log


def only_read(file: Path) -> None:
    file.read_bytes()
    (file.parent / "beside.nc").touch()


provider = DiagnosticProvider(
    slug="change",
    name="Change",
    version="1",
    diagnostics=[
        Changing("only-read", only_read),
        Changing("append", append),
        Changing("replace", replace_same_size),
        Changing("set-back", set_back),
        Changing("remove", Path.unlink),
        Changing("truncate", lambda file: os.truncate(file, 1)),
        Changing("change-and-fail", fail),
        Changing("change-and-crash", crash),
        Changing("draw", draw),
    ],
)

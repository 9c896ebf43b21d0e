"""A provider for tests: diagnostics that leave what is no ordinary file, or more than can be read soon."""

import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import Behaving

MUCH_BYTES = 1 << 30
"""Zeros in a hole: nothing on the disk, and no time to write, but as much to read as any other file."""
_LINKS = 400


def make_sparse(path: Path, length_bytes: int = 4 << 40) -> None:
    with path.open("wb") as file:
        file.truncate(length_bytes)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)  # the working directory is the output: a whole path may be too long


def make_badly_named(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path) + b"\xff")).touch()


ODD_FILES: Mapping[str, Callable[[Path], object]] = {
    "sparse": make_sparse,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),  # /dev/zero, which never ends
    "directory": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "circle": lambda path: path.symlink_to(path.name),
}


def result(*names: str) -> ExecutionResult:
    """Return a result that names some files."""
    files = {f"file{number}": OutputFile(filename=name) for number, name in enumerate(names)}
    metrics = MetricBundle.from_scalars(("source_id", "statistic"), {("any", "mean"): 1.0})
    return ExecutionResult(metrics=metrics, outputs=OutputBundle(data=files))


def leave_all_unnamed(output: Path) -> ExecutionResult:
    for name, make in {**ODD_FILES, "bad": make_badly_named}.items():
        make(output / name)
    return result()


def leave_one_named(make: Callable[[Path], object]) -> Callable[[Path], ExecutionResult]:
    def act(output: Path) -> ExecutionResult:
        make(output / "odd")
        return result("odd")

    return act


def leave_for_bundles(output: Path) -> None:
    """Leave a link, a pipe and a file where the worker will write its bundles."""
    (output.parent / "outside").write_text("mine")
    (output / METRIC_BUNDLE).symlink_to(output.parent / "outside")
    os.mkfifo(output / OUTPUT_BUNDLE)
    (output / SERIES).write_text("an older one")


def name_much(output: Path) -> ExecutionResult:
    """Name one large file by many names: reading them all takes minutes."""
    make_sparse(output / "0", MUCH_BYTES)
    for number in range(1, _LINKS):
        os.link(output / "0", output / str(number))
    return result(*map(str, range(_LINKS)))


provider = DiagnosticProvider(
    slug="odd",
    name="Odd files",
    version="1",
    diagnostics=[
        Behaving("all-unnamed", leave_all_unnamed),
        *(Behaving(f"named-{kind}", leave_one_named(make)) for kind, make in ODD_FILES.items()),
        Behaving("in-place-of-bundles", leave_for_bundles),
        Behaving("directory-for-bundle", lambda output: (output / METRIC_BUNDLE).mkdir()),
        Behaving("much", name_much),
    ],
)

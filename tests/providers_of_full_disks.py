"""A provider for tests: diagnostics that wait until the disk is full, and then fail in many ways."""

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import Behaving, segfault
from tests.flows.tmpfs_disk import Disk
from tests.providers_of_odd_files import MUCH_BYTES, make_sparse, result


def wait_until_full(output: Path) -> None:
    while (status := os.statvfs(output)).f_bfree and status.f_ffree:
        time.sleep(0.01)


def when_full(act: Callable[[Path], object]) -> Callable[[Path], object]:
    def wait_and_act(output: Path) -> object:
        wait_until_full(output)
        return act(output)

    return wait_and_act


def raise_own(_: Path) -> None:
    raise RuntimeError("NetCDF: HDF error")


def raise_after_room_is_back(output: Path) -> None:
    """Fail a while later, when nothing is full any more."""
    while not os.statvfs(output).f_bfree:
        time.sleep(0.01)
    raise DiagnosticError("a file written before is cut short")


class RoomOnFlush(io.StringIO):
    """Makes room when it is flushed, which happens once a failure is known and before anybody else hears of it."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self._disk = disk

    def flush(self) -> None:
        Disk(self._disk).free()


def write_and_make_room(output: Path) -> None:
    sys.stdout = RoomOnFlush(output.parents[3])
    (output / "more").write_bytes(bytes(1 << 20))


def name_for_long(output: Path) -> ExecutionResult:
    names = [f"large{number}" for number in range(6)]
    for name in names:
        make_sparse(output / name, MUCH_BYTES)
    return result(*names)


provider = DiagnosticProvider(
    slug="full",
    name="Full",
    version="1",
    diagnostics=[
        Behaving("write", when_full(lambda output: (output / "more").write_bytes(bytes(1 << 20)))),
        Behaving("write-and-make-room", when_full(write_and_make_room)),
        Behaving("own-error", when_full(raise_own)),
        Behaving("crash", when_full(segfault)),
        Behaving("exit", when_full(lambda _: sys.exit("cannot write"))),
        Behaving("no-result", when_full(lambda _: "text")),
        Behaving("succeed", when_full(lambda _: None)),
        Behaving("later", when_full(raise_after_room_is_back)),
        Behaving("long-examination", name_for_long),
    ],
)

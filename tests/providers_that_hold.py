"""A provider that holds something open once it is imported; the environment says what, and since when."""

import fcntl
import mmap
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, Isolation
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

WHAT, WHEN, DATA = "TESTS_HOLD_WHAT", "TESTS_HOLD_WHEN", "TESTS_HOLD_DATA"
"""Environment variables: the name of a function here, when it is called, and a directory with files for it."""
ISOLATION: Final = "TESTS_HOLD_ISOLATION"
MANY: Final = 1200
"""More than `select` can count."""
ASK_FOR_LOCK: Final = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
"""A program that fails where another process has a lock on a file."""
_imported_by = os.getpid()
_held: dict[str, Any] = {}


def hold(data: Path) -> None:
    """Open what the environment names; the function returns what reads a number from it."""
    if "read" not in _held:
        _held["read"] = globals()[os.environ[WHAT].replace("-", "_")](data)


Reading = Callable[[], float]


def netcdf(data: Path) -> Reading:
    import netCDF4  # noqa: PLC0415 - the others do without it

    mask, observed = netCDF4.Dataset(data / "mask.nc"), netCDF4.Dataset(data / "observed.nc")
    return lambda: float(observed["ta"][:].mean() - mask["ta"][:].mean())


def netcdf3(data: Path) -> Reading:
    return netcdf(data / "classic")


def lazy_xarray(data: Path) -> Reading:
    import xarray  # noqa: PLC0415 - the others do without it

    observed = xarray.open_dataset(data / "observed.nc")
    return lambda: float(observed["ta"].mean())


def archive(data: Path) -> Reading:
    opened = zipfile.ZipFile(data / "table.zip")
    return lambda: float(opened.read("table"))


def lines(data: Path) -> Reading:
    """Each execution is to find the file where the import has left it, whatever others read of it."""
    opened = (data / "lines").open("rb", buffering=0)
    opened.read(4)
    return lambda: float(opened.read(4))


def unlinked(data: Path) -> Reading:
    path = data / f"unlinked-{os.getpid()}"
    path.write_text("250.0")
    opened = path.open()
    path.unlink()
    return lambda: float(opened.read())


def directory(data: Path) -> Reading:
    opened = os.open(data, os.O_RDONLY | os.O_DIRECTORY)

    def read() -> float:
        with open(os.open("one", os.O_RDONLY, dir_fd=opened)) as file:  # noqa: PTH123 - no path has it
            return float(file.read())

    return read


def two_numbers(data: Path) -> Reading:
    """Two descriptors of one opening move together."""
    one = os.open(data / "lines", os.O_RDONLY)
    other = os.dup(one)

    def read() -> float:
        os.lseek(one, 4, os.SEEK_SET)
        return float(os.read(other, 4))

    return read


def read_only_table(data: Path) -> Reading:
    opened = sqlite3.connect(f"file:{data}/table.db?mode=ro", uri=True)
    return lambda: float(opened.execute("select a from t").fetchone()[0])


def devices(data: Path) -> Reading:
    files = [open(name, mode) for name, mode in (("/dev/null", "r+b"), ("/dev/urandom", "rb"))]  # noqa: PTH123, SIM115

    def read() -> float:
        files[0].write(b"x")
        return float(len(files[1].read(250)))

    return read


def second_output(data: Path) -> Reading:
    output = os.fdopen(os.dup(1), "w")

    def read() -> float:
        print("said through the second output", file=output, flush=True)
        return 250.0

    return read


def projections(data: Path) -> Reading:
    import pyproj  # noqa: PLC0415 - the others do without it

    return lambda: float(pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3995").transform(80, 10)[0])


def maps(data: Path) -> Reading:
    import cartopy.crs  # noqa: PLC0415 - the others do without it

    there, here = cartopy.crs.NorthPolarStereo(), cartopy.crs.PlateCarree()
    return lambda: float(there.transform_point(10, 80, here)[0])


def many(data: Path) -> Reading:
    files = [(data / "lines").open("rb", buffering=0) for _ in range(MANY)]
    return lambda: float(sum(float(file.read(4)) for file in files)) / len(files)


def log(data: Path) -> Reading:
    opened = (data / "provider.log").open("a")

    def read() -> float:
        opened.write("running\n")
        return 250.0

    return read


def table(data: Path) -> Reading:
    opened = sqlite3.connect(data / "table.db")
    opened.execute("select a from t").fetchone()
    return lambda: float(opened.execute("select a from t").fetchone()[0])


def mapped_file(data: Path) -> Reading:
    with (data / "mapped").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    return lambda: float(mapped[0])


def shared_memory(data: Path) -> Reading:
    mapped = mmap.mmap(-1, 1)
    mapped[0] = 249

    def read() -> float:
        mapped[0] += 1  # executions that had it in common would count on from one another
        return float(mapped[0])

    return read


def connection(data: Path) -> Reading:
    ends = socket.socketpair()
    return lambda: float(ends[0].send(b"x" * 250))


def pipe(data: Path) -> Reading:
    reading, writing = os.pipe()
    os.write(writing, b"250.0")
    return lambda: float(os.read(reading, 5))


def poll(data: Path) -> Reading:
    opened = select.epoll()
    return lambda: 250.0 + len(opened.poll(0))


def thread(data: Path) -> Reading:
    asked, answered = threading.Event(), threading.Event()

    def live() -> None:
        asked.wait()
        answered.set()

    threading.Thread(target=live, name="answering", daemon=True).start()

    def read() -> float:
        asked.set()
        return 250.0 if answered.wait(20) else 0.0

    return read


def other_input(data: Path) -> Reading:
    opened = os.open(data / "one", os.O_RDONLY)
    os.dup2(opened, 0)
    os.close(opened)
    return lambda: float(os.read(0, 5))


def process(data: Path) -> Reading:
    started = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return lambda: 250.0 if started.poll() is None else 0.0


def ended_process(data: Path) -> Reading:
    started = subprocess.Popen(["sh", "-c", "exit 250"])
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    return lambda: float(started.wait())


def timer(data: Path) -> Reading:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.alarm(1000)
    return lambda: 250.0 if signal.alarm(0) else 0.0


def locked_file(data: Path) -> Reading:
    """Another process asks for the lock, which the kernel gives up with the one that has it."""
    opened = (data / "one").open()
    fcntl.lockf(opened, fcntl.LOCK_SH)

    def read() -> float:
        asked = subprocess.run([sys.executable, "-c", ASK_FOR_LOCK, opened.name], check=False, capture_output=True)
        return float(opened.read()) if asked.returncode else 0.0

    return read


def elsewhere(data: Path) -> Reading:
    os.chdir(data)
    return lambda: 250.0 if Path("opened.txt").exists() else 0.0


class Held(Diagnostic):
    """Reads its number, and says whether it runs in a fork of the process that has imported this."""

    slug = name = "held"
    data = DataRequirement(group_by=("source_id", "table_id"))
    resources = ResourceHint(memory_mb=256, wall_clock=timedelta(seconds=60))

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        if os.environ[WHEN] == "sizes":
            hold(Path(os.environ[DATA]))
        return self.resources

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        hold(Path(os.environ[DATA]))
        with (output_directory / "opened.txt").open("w") as file:
            file.write("before\n")
            value = _held["read"]()
            file.write("after\n")
        (output_directory / "forked").write_text(str(_imported_by != os.getpid()))
        print((output_directory / "opened.txt").read_text().split(), file=sys.stderr)  # noqa: T201 - for run.log
        dimensions = ("source_id", "statistic")
        return ExecutionResult(metrics=MetricBundle.from_scalars(dimensions, {("CanESM5", "mean"): value}))


class Provider(DiagnosticProvider):
    """May open it when it is warmed up."""

    def warm_up(self) -> None:
        if os.environ[WHEN] == "warm_up":
            hold(Path(os.environ[DATA]))


_isolation: Isolation = "fresh" if os.environ.get(ISOLATION) == "fresh" else "warm"
provider = Provider("held", "Holds something", "1", [Held()], isolation=_isolation)
if os.environ.get(WHEN) == "import":
    hold(Path(os.environ[DATA]))

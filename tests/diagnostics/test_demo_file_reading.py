"""Reading files in the demo: times by the CF rules, and files that are locked or broken."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest

from climate_ref_prefect.diagnostics.demo.calculations.time_series import Years, require_years
from climate_ref_prefect.diagnostics.demo.read_temperature import read_area_mean
from climate_ref_prefect.diagnostics.demo.retry_locked_files import read_with_retries
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import Dataset
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception

PERIOD = Years(1950, 1952)
LONG_AGO = 1.0
Change = Callable[[Any], None]


def nothing(_: Any) -> None:
    pass


def set_time(index: int, value: float) -> Change:
    return lambda file: file["time"].__setitem__(index, value)


def set_attribute(name: str, value: object) -> Change:
    return lambda file: setattr(file["time"], name, value)


def make(directory: Path, calendar: str = "standard", change: Change = nothing) -> Path:
    """Write three years of monthly means and change one thing in them."""
    path = directory / "ta_Amon_X_historical_r1i1p1f1_gn_195001-195212.nc"
    months = [(year, month) for year in (1950, 1951, 1952) for month in range(1, 13)]
    dates = [cftime.datetime(year, month, 15, calendar=calendar) for year, month in months]
    with netCDF4.Dataset(path, "w") as file:
        for dimension, size in (("time", 36), ("plev", 1), ("lat", 4), ("lon", 4)):
            file.createDimension(dimension, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1850-01-01", calendar
        time[:] = cftime.date2num(dates, time.units, calendar)
        file.createVariable("plev", "f8", ("plev",))[:] = 92500
        file.createVariable("lat", "f8", ("lat",))[:] = [81, 83, 85, 87]
        file.createVariable("lon", "f8", ("lon",))[:] = [0, 90, 180, 270]
        file.createVariable("ta", "f4", ("time", "plev", "lat", "lon"))[:] = 250
        change(file)
    return path


def complete_years(path: Path) -> int:
    dataset = Dataset(instance_id="I", facets={"table_id": "Amon"}, files=(path,), fingerprint="0" * 64)
    record, _ = read_area_mean(dataset, PERIOD)
    return len(require_years(record, 1, PERIOD).years)


class TestTimes:
    """A file is read by the CF rules, or refused in a line with its name."""

    @pytest.mark.parametrize(
        "calendar",
        [
            "standard",
            "gregorian",
            "proleptic_gregorian",
            "julian",
            "noleap",
            "365_day",
            "all_leap",
            "366_day",
            "360_day",
        ],
    )
    def test_each_calendar_of_cf(self, tmp_path: Path, calendar: str) -> None:
        assert complete_years(make(tmp_path, calendar)) == 3

    def test_it_is_standard_where_none_is_named(self, tmp_path: Path) -> None:
        assert complete_years(make(tmp_path, change=lambda file: file["time"].delncattr("calendar"))) == 3

    def test_months_since_in_a_calendar_whose_months_are_alike(self, tmp_path: Path) -> None:
        def count_months(file: Any) -> None:
            file["time"].units = "months since 1950-01-01"
            file["time"][:] = np.arange(36) + 0.5

        assert complete_years(make(tmp_path, "360_day", count_months)) == 3

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (set_attribute("calendar", "none"), "calendar must be one of"),
            (set_attribute("calendar", ""), "calendar ''"),
            (set_attribute("calendar", 360), "calendar must be one of"),
            (set_attribute("units", "months since 1850-01-01"), "'months since' units only allowed"),
            (set_attribute("units", "day as %Y%m%d.%f"), "no 'since'"),
            (set_attribute("units", "days since yesterday"), "cannot be used"),
            (set_attribute("units", 1), "cannot be used"),
            (lambda file: file["time"].delncattr("units"), "is not a CMIP6 file"),
            (set_time(3, np.nan), "1 of 36 are missing, the first at index 3"),
            (set_time(3, np.inf), "1 of 36 are missing"),
            (set_time(3, 1e20), "1 of 36 are missing"),
            (set_time(3, float(netCDF4.default_fillvals["f8"])), "1 of 36 are missing"),
            (set_time(3, -1.0), "do not follow each other"),
            (lambda file: file["time"].__setitem__(slice(None), np.nan), "36 of 36 are missing"),
        ],
    )
    def test_what_does_not_say_when_is_refused_with_the_name_of_the_file(
        self, tmp_path: Path, change: Change, words: str
    ) -> None:
        path = make(tmp_path, change=change)
        with pytest.raises(DiagnosticError) as refused:
            complete_years(path)
        assert str(path) in str(refused.value)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Have another process hold the lock that HDF5 takes for writing; yields what makes it let go."""
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'rb+'); fcntl.flock(file, fcntl.LOCK_EX);"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield lambda: (holder.communicate(), None)[1]


def failing_first(path: Path, then: Callable[[], object]) -> Callable[[], int]:
    """Return a reading of a file that calls `then` when it has failed."""

    def read() -> int:
        try:
            return complete_years_of(path)
        except OSError:
            then()
            raise

    return read


def complete_years_of(path: Path) -> int:
    with netCDF4.Dataset(path) as file:
        return len(file["time"][:]) // 12


class TestFilesOfOthers:
    """A file that another process has is none that is broken."""

    def test_one_that_is_locked_is_read_when_the_lock_is_gone(self, tmp_path: Path) -> None:
        path = make(tmp_path)
        os.utime(path, (LONG_AGO, LONG_AGO))
        with locked(path) as release:
            assert read_with_retries(path, failing_first(path, release)) == 3

    @pytest.mark.slow
    def test_one_that_stays_locked_is_no_fault_of_the_diagnostic(self, tmp_path: Path) -> None:
        path = make(tmp_path)
        with locked(path), pytest.raises(BlockingIOError, match="has it locked") as refused:
            complete_years(path)
        assert failure_from_exception(refused.value).kind is FailureKind.SYSTEM_ERROR
        assert str(path) in str(refused.value)

    def test_one_that_is_being_written_without_a_lock_is_read_when_it_is_whole(self, tmp_path: Path) -> None:
        path = make(tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert read_with_retries(path, failing_first(path, lambda: path.write_bytes(whole))) == 3

    @pytest.mark.parametrize("content", [b"", b"not NetCDF", b"\x89HDF\r\n\x1a\n and then nothing of it"])
    def test_one_that_is_broken_is_said_to_be_so(self, tmp_path: Path, content: bytes) -> None:
        path = make(tmp_path)
        path.write_bytes(content)
        if content:  # the other was written just now
            os.utime(path, (LONG_AGO, LONG_AGO))
        with pytest.raises(DiagnosticError, match="cannot be read as NetCDF"):
            complete_years(path)

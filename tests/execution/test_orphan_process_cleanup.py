"""Leftovers of a diagnostic on its node are ended, removed if they are known to be its own, or reported."""

import ctypes
from pathlib import Path

import pytest

from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import none_alive, noted_processes, wait_until
from climate_ref_prefect.testing.transports.contract_driver import Driving

SHARED = "tests.providers_of_shared_memory:provider"
pytestmark = pytest.mark.slow


def test_processes_that_are_left_are_ended_and_counted(own: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("tree")
    outcome = own.run(directory, resources)
    assert outcome.succeeded
    assert outcome.telemetry.transport_meta["left_processes"] == 3
    assert "It left 3 processes, which were ended: " in (directory / "run.log").read_text()
    assert none_alive(noted_processes(directory / "output", 3))


def test_a_segment_of_shared_memory_is_removed_and_counted(own: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("segment", target=SHARED)
    outcome = own.run(directory, resources)
    assert outcome.telemetry.transport_meta["left_segments"] == 1
    number = (directory / "output" / "segment").read_text()
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    assert number not in {row.split()[1] for row in rows}


def test_a_segment_that_a_program_has_left_is_told_and_left_alone(own: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("segment-of-a-program", target=SHARED)
    outcome = own.run(directory, resources)
    number = (directory / "output" / "segment").read_text()
    try:
        assert outcome.telemetry.transport_meta["new_segments"]
        assert number in (directory / "run.log").read_text()
    finally:
        assert ctypes.CDLL(None).shmctl(int(number), 0, None) == 0


def test_a_file_in_shared_memory_is_told_and_left_alone(own: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("file", target=SHARED)
    outcome = own.run(directory, resources)
    left = Path((directory / "output" / "shared").read_text())
    try:
        assert left.exists()
        assert outcome.telemetry.transport_meta["new_shared_memory_files"]
        assert "appeared in /dev/shm" in (directory / "run.log").read_text()
    finally:
        left.unlink()


def test_what_python_tracks_is_removed_by_its_tracker(own: Driving, prepare: Prepare) -> None:
    directory, resources = prepare("tracked", target=SHARED)
    own.run(directory, resources)
    left = Path((directory / "output" / "shared").read_text())
    wait_until(lambda: not left.exists())


def test_one_that_leaves_nothing_says_nothing(own: Driving, prepare: Prepare) -> None:
    outcome = own.run(*prepare("noop"))
    assert not outcome.telemetry.transport_meta.keys() & {"left_processes", "left_segments"}

"""
The crash matrix: a coordinator is killed before and after each of its writes, and what it left is brought home.

A dry run lists the points that a campaign passes, so that a write that is added later is tested without anybody
thinking of it.
"""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from climate_ref_prefect.execution.fault_injection import VARIABLE
from tests.soak.command_forks import PreloadedCommand, preloaded_command
from tests.soak.coordinator_site import Place
from tests.soak.invariants import broken
from tests.soak.provider import FAILS

DIAGNOSTICS = ("brief", "flaky", FAILS)
SOME_WERE_GIVEN_UP = 1
"""How a solve ends one of whose diagnostics always fails."""
LEAST_POINTS = 30
"""A campaign of three groups and four attempts passes more; with fewer the points are not in the code any more."""


def assert_every_crash_is_survived(root: Path, make_database: Callable[[], str | None]) -> None:
    """
    Kill a coordinator at every point, and hold that `recover` and `solve` bring everything home.

    Parameters
    ----------
    root
        A directory for all campaigns; each is removed once it has held.
    make_database
        Makes an empty database and returns its URL; none for SQLite in the state directory.
    """
    with preloaded_command() as command:
        points = _points(command, Place.make(root / "dry", 1, DIAGNOSTICS, make_database()))
        assert len(points) >= LEAST_POINTS, points
        faults = [
            fault
            for number, point in enumerate(points)
            for fault in _faults(command, Place.make(root / str(number), 1, DIAGNOSTICS, make_database()), point)
        ]
    assert not faults, "\n".join(faults)


def _points(command: PreloadedCommand, place: Place) -> list[str]:
    listed = place.root / "points"
    code = command.run(place.solve(), {**place.environment, VARIABLE: f"list:{listed}"}, place.log)
    assert code == SOME_WERE_GIVEN_UP, place.log.read_text()
    assert not broken(place)
    return listed.read_text().splitlines()


def _faults(command: PreloadedCommand, place: Place, point: str) -> Iterator[str]:
    killed = command.run(place.solve(), {**place.environment, VARIABLE: point}, place.log)
    recovered = command.run(["recover"], place.environment, place.log)
    solved = command.run(place.solve(), place.environment, place.log)
    found = broken(place)
    if (killed, recovered, solved) != (-signal.SIGKILL, 0, SOME_WERE_GIVEN_UP):
        found.append(f"killed: {killed}, recover: {recovered}, solve: {solved}")
    yield from (f"{point}: {fault}\n{place.log.read_text()[-4000:]}" for fault in found)
    if not found:
        shutil.rmtree(place.root)

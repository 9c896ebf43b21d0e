"""One campaign of the soak: a coordinator is started again and again, and disturbed, until everything is finalised."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from climate_ref_prefect.store.sql.database_location import SQLITE, parse_location
from climate_ref_prefect.testing.processes import Process
from tests.flows.tmpfs_disk import Disk
from tests.postgres import PostgresServer
from tests.soak.command_forks import PreloadedCommand, Started
from tests.soak.coordinator_site import Place
from tests.soak.faults import CoordinatorFaults, DiskFaults, Fault, PostgresFaults, SqliteFaults, WorkerFaults
from tests.soak.invariants import broken

DIAGNOSTICS = ("good", "brief", "flaky", "hungry", "late", "own-error")
_MOST_STARTS = 40
_PAUSE_SECONDS = 0.05
_DISK_SIZE = "64m"
_LIMITS = {"CLIMATE_REF_PREFECT_MAX_ATTEMPTS": "5", "CLIMATE_REF_PREFECT_MAX_LOST": "100"}
"""Enough for what the diagnostics do by themselves and for the kills; faults of disk and database must not count."""


@dataclass(frozen=True)
class Outcome:
    """What came of a campaign."""

    seed: int
    database: str
    attempts: int
    starts: int
    faults: Mapping[str, int]
    seconds: float
    broken: Sequence[str]
    """The invariants that do not hold, in words."""


class Campaign:
    """
    Brings the executions of a place home while faults are made.

    Parameters
    ----------
    place
        Where the coordinators work.
    command
        Starts them.
    seed
        Of the order of the faults, and of whom they meet.
    options
        More arguments of `solve`, such as another transport.
    """

    def __init__(
        self, place: Place, command: PreloadedCommand, seed: int, options: Sequence[str] = ("--cpu", "4")
    ) -> None:
        self.place = place
        self.made: Counter[str] = Counter()
        self.chance = Random(seed)
        self.starts = 0
        self._seed = seed
        self._command = command
        self._options = options
        self._started: Started | None = None

    def coordinator(self) -> Process:
        """Return the process that coordinates now."""
        assert self._started is not None
        return self._started.process

    def run(self, faults: Mapping[str, Fault], times: int = 1) -> Outcome:
        """Solve until nothing is left to do, while each fault is made so many times; say what came of it."""
        began = time.monotonic()
        to_come = self.chance.sample(list(faults) * times, k=len(faults) * times)
        between = max(1, len(self.place.groups) // (3 * len(to_come)))
        due = between
        while self.starts < _MOST_STARTS and (self.starts == 0 or not self._is_home()):
            self._start()
            while self.coordinator().alive:
                if to_come and self._runs() >= due and faults[to_come[-1]]():
                    self.made[to_come.pop()] += 1
                    due = self._runs() + between
                time.sleep(_PAUSE_SECONDS)
            assert self._started is not None
            self._started.wait()
        return self._outcome(time.monotonic() - began)

    def _start(self) -> None:
        self.starts += 1
        settings = {**self.place.environment, **_LIMITS}
        self._started = self._command.start(self.place.solve(*self._options), settings, self.place.log)

    def _is_home(self) -> bool:
        with self.place.store() as store:
            counts = store.counts()
        return not counts.unfinished and not counts.dirty_groups and counts.groups == len(self.place.groups)

    def _runs(self) -> int:
        runs = self.place.notes / "runs"
        return runs.read_bytes().count(b"\n") if runs.exists() else 0

    def _outcome(self, seconds: float) -> Outcome:
        with self.place.store() as store:
            attempts = len(store.executions())
        database = "sqlite" if parse_location(self.place.database_url).drivername == SQLITE else "postgresql"
        found = broken(self.place)
        return Outcome(self._seed, database, attempts, self.starts, dict(self.made), seconds, found)


def disturb_local(
    root: Path, command: PreloadedCommand, postgres: PostgresServer, *, seed: int, executions: int, seconds: float
) -> Outcome:
    """
    Run one campaign on this machine with every fault there is.

    Parameters
    ----------
    root
        An empty directory; two small file systems are mounted below it meanwhile.
    command
        Starts the coordinators.
    postgres
        Used where the seed is even; the others are on SQLite.
    seed
        Of the faults.
    executions
        About how many groups there are to bring home.
    seconds
        How long scratch is full; other faults that pass by themselves last a quarter of it.
    """
    url = None if seed % 2 else postgres.create_database()
    place = Place.make(root, max(1, executions // len(DIAGNOSTICS)), DIAGNOSTICS, url)
    campaign = Campaign(place, command, seed)
    with small_disk(place.scratch) as scratch, small_disk(place.results) as results:
        database = (
            PostgresFaults(postgres, seconds / 4)
            if url
            else SqliteFaults(Path(str(parse_location(place.database_url).database)), seconds / 4)
        )
        return campaign.run(
            {
                **CoordinatorFaults(campaign.coordinator).all(),
                **WorkerFaults(place, campaign.chance).all(),
                **DiskFaults(scratch, results, seconds).all(),
                **database.all(),
            }
        )


@contextmanager
def small_disk(directory: Path) -> Iterator[Disk]:
    """Mount a small file system on a directory while the context lasts; only root can."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_SIZE},mode=0700", "tmpfs", str(directory)]
    subprocess.run(mount, check=True)
    try:
        yield Disk(directory)
    finally:
        subprocess.run(["umount", str(directory)], check=True)

"""
Two coordinators on one PostgreSQL database, whose lock connections are cut until each has taken over from the other.

    .venv/bin/python -m tests.soak.two_coordinators --tries 10

They have state directories of their own, and share scratch and results. Both are started again whenever they have
ended, as a service manager does, until all is brought home.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sqlalchemy import NullPool, create_engine, text

from climate_ref_prefect.flows.cli.errors_and_exit_codes import FAILED, LEASE_LOST
from climate_ref_prefect.flows.server.local_server import local_server
from tests.flows.run_intervals import read_lives
from tests.postgres import PostgresServer, running_postgres
from tests.soak.command_forks import PreloadedCommand, preloaded_command
from tests.soak.coordinator_site import Place
from tests.soak.invariants import broken

_TAKEOVERS = 5
"""Epochs that there must be before the connections are left alone: coordinators have taken over several times then."""
_GIVE_UP_SECONDS = 240.0
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    "AND datname = current_database() AND application_name LIKE 'climate-ref-prefect%'"
)


@dataclass(frozen=True)
class Outcome:
    """What came of a try."""

    codes: Mapping[int, int]
    """How often the coordinators ended with each exit code."""

    runs: int
    """How often a diagnostic was begun; more than the groups where a takeover has stopped it."""

    broken: Sequence[str]
    """What does not hold, in words."""


class Contender:
    """
    A coordinator that is started again whenever it has ended.

    Parameters
    ----------
    command
        Starts it.
    place
        Where it works.
    home
        Its own state directory.
    over
        Set when it may stay ended.
    """

    def __init__(self, command: PreloadedCommand, place: Place, home: Path, over: threading.Event) -> None:
        home.mkdir(exist_ok=True)
        self.codes: list[int] = []
        self.log = home / "coordinator.log"
        self._command = command
        self._place = place
        self._settings = {**place.environment, "CLIMATE_REF_PREFECT_HOME": str(home)}
        self._over = over
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until it has stayed ended."""
        self._thread.join()

    def _run(self) -> None:
        while not (self._over.is_set() and self.codes and self.codes[-1] == 0):
            self.codes.append(self._command.run(self._place.solve("--cpu", "4"), self._settings, self.log))


def contend(root: Path, commands: Sequence[PreloadedCommand], url: str, seed: int) -> Outcome:
    """
    Have two coordinators take over from each other, bring all home, and return what came of it.

    Parameters
    ----------
    root
        Where everything goes.
    commands
        One for each.
    url
        An empty PostgreSQL database.
    seed
        Of the moments at which connections are cut.
    """
    place = Place.make(root, 3, ("waits-for-go", "brief"), url)
    over = threading.Event()
    contenders = [Contender(command, place, root / f"home-{n}", over) for n, command in enumerate(commands)]
    for contender in contenders:
        contender.start()
    try:
        missing = _cut_until_taken_over(place, Random(seed))
    finally:
        over.set()
        (place.notes / "go").touch()
        for contender in contenders:
            contender.wait()
    codes = Counter(code for contender in contenders for code in contender.codes)
    odd = [f"a coordinator ended with {code}" for code in codes.keys() - {0, FAILED, LEASE_LOST}]
    return Outcome(codes, len(read_lives(place.notes)), [*missing, *odd, *broken(place)])


def _cut_until_taken_over(place: Place, chance: Random) -> list[str]:
    give_up_at = time.monotonic() + _GIVE_UP_SECONDS
    with _asking(place.database_url) as ask:
        while not read_lives(place.notes):
            time.sleep(0.05)
        while not _epoch(ask) >= _TAKEOVERS:
            if time.monotonic() > give_up_at:
                return [f"nobody has taken over in {_GIVE_UP_SECONDS:g} s"]
            ask(_CUT)
            time.sleep(chance.uniform(0, 0.3))
    return []


def _epoch(ask: Callable[[str], object]) -> int:
    return int(str(ask("SELECT epoch FROM lease")))


@contextmanager
def _asking(url: str) -> Iterator[Callable[[str], object]]:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement: connection.scalar(text(statement))


def main() -> int:
    """Run the tries, print a line for each, and return 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.two_coordinators", description="Two coordinators.")
    parser.add_argument("--tries", type=int, default=10, help="how often")
    parser.add_argument("--first-seed", type=int, default=1, help="seed of the first; the others follow")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="two-coordinators-") as directory:
        os.environ["PREFECT_HOME"] = f"{directory}/prefect"
        with local_server(Path(directory, "server")) as server, running_postgres() as postgres:
            os.environ.update(server.variables)
            with preloaded_command() as one, preloaded_command() as other:
                seeds = range(options.first_seed, options.first_seed + options.tries)
                held = [_tell(Path(directory), (one, other), postgres, seed) for seed in seeds]
    print(f"{sum(held)} of {len(held)} tries held", flush=True)
    return int(not all(held))


def _tell(directory: Path, commands: Sequence[PreloadedCommand], postgres: PostgresServer, seed: int) -> bool:
    began = time.monotonic()
    root = directory / str(seed)
    outcome = contend(root, commands, postgres.create_database(), seed)
    seconds = time.monotonic() - began
    codes = ", ".join(f"{count} x {code}" for code, count in sorted(outcome.codes.items()))
    print(
        f"seed {seed}: {outcome.runs} runs, exit codes {codes}, {seconds:.0f} s",
        *outcome.broken,
        sep="\n  ",
        flush=True,
    )
    if outcome.broken:
        for log in root.glob("home-*/coordinator.log"):
            print(f"{log}:\n{log.read_text(encoding='utf-8')[-6000:]}", flush=True)
    return not outcome.broken


if __name__ == "__main__":
    sys.exit(main())

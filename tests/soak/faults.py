"""What happens to a coordinator on one machine, to what it has started, to its disks and to its database."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from subprocess import CalledProcessError

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import Process
from tests.flows.run_intervals import Life, read_lives
from tests.flows.tmpfs_disk import Disk
from tests.postgres import PostgresServer
from tests.soak.coordinator_site import Place

Fault = Callable[[], bool]
"""Makes a fault; false where there is nothing that it could meet just now."""
_BACKENDS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND application_name LIKE 'climate-ref-prefect%'"
)


class CoordinatorFaults:
    """
    Faults that end a coordinator.

    Parameters
    ----------
    coordinator
        Returns the process that coordinates now.
    """

    def __init__(self, coordinator: Callable[[], Process]) -> None:
        self._coordinator = coordinator

    def all(self) -> Mapping[str, Fault]:
        """Return the faults by name."""
        return {
            "coordinator killed": lambda: self._signal(signal.SIGKILL),
            "coordinator interrupted": lambda: self._signal(signal.SIGINT),
            "coordinator asked to end": lambda: self._signal(signal.SIGTERM),
        }

    def _signal(self, number: signal.Signals) -> bool:
        return send(self._coordinator(), number)


class WorkerFaults:
    """
    Faults that meet what a coordinator has started on this machine.

    Parameters
    ----------
    place
        Where the diagnostics note their lives.
    chance
        Chooses whom a fault meets.
    """

    def __init__(self, place: Place, chance: Random) -> None:
        self._place = place
        self._chance = chance

    def all(self) -> Mapping[str, Fault]:
        """Return the faults by name."""
        return {
            "child killed": lambda: self._kill(lambda life: life.process),
            "supervisor killed": lambda: self._kill(_supervisor_of),
            "provider's server killed": lambda: self._kill(_server_of),
        }

    def _kill(self, choose: Callable[[Life], Process | None]) -> bool:
        at_work = [life for life in read_lives(self._place.notes) if life.at_work]
        process = choose(self._chance.choice(at_work)) if at_work else None
        return process is not None and send(process, signal.SIGKILL)


class DiskFaults:
    """
    Faults of the file systems that executions and results are on.

    Parameters
    ----------
    scratch, results
        Small file systems.
    seconds
        How long scratch is full; results have their faults for a quarter of it.
    """

    def __init__(self, scratch: Disk, results: Disk, seconds: float) -> None:
        self._scratch = scratch
        self._results = results
        self._seconds = seconds

    def all(self) -> Mapping[str, Fault]:
        """Return the faults by name."""
        return {
            "scratch full": lambda: _while_broken(self._scratch.fill, self._scratch.free, self._seconds),
            "results full": lambda: _while_broken(self._results.fill, self._results.free, self._seconds / 4),
            "results read-only": lambda: _while_broken(
                self._results.make_read_only, self._results.make_writable, self._seconds / 4
            ),
        }


class SqliteFaults:
    """
    Faults of a database in a file.

    Parameters
    ----------
    path
        The file.
    seconds
        How long a fault lasts.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds

    def all(self) -> Mapping[str, Fault]:
        """Return the faults by name."""
        return {"database locked": self._lock}

    def _lock(self) -> bool:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self._seconds)
            connection.execute("ROLLBACK")
        return True


class PostgresFaults:
    """
    Faults of a database server.

    Parameters
    ----------
    server
        Of the tests' own.
    seconds
        How long it is away.
    """

    def __init__(self, server: PostgresServer, seconds: float) -> None:
        self._server = server
        self._seconds = seconds

    def all(self) -> Mapping[str, Fault]:
        """Return the faults by name."""
        return {
            "database restarted": self._restart,
            "database away": lambda: self._be_away(self._server.stop),
            "database killed": lambda: self._be_away(self._server.kill),
            "connections cut": self._cut,
        }

    def _restart(self) -> bool:
        self._server.stop()
        self._server.start()
        return True

    def _be_away(self, end: Callable[[], None]) -> bool:
        end()
        time.sleep(self._seconds)
        self._server.start()
        return True

    def _cut(self) -> bool:
        self._server.administer(_BACKENDS)
        return True


def _while_broken(break_it: Callable[[], None], mend: Callable[[], None], seconds: float) -> bool:
    try:
        break_it()
    except CalledProcessError:  # a file is open for writing on it
        return False
    try:
        time.sleep(seconds)
    finally:
        mend()
    return True


def send(process: Process, number: signal.Signals) -> bool:
    """Signal a process; false if it has ended."""
    if not process.alive:
        return False
    os.kill(process.pid, number)
    return True


def _supervisor_of(life: Life) -> Process | None:
    claim = ExecutionDirectory(Path(life.directory)).read_claim()
    return Process(claim.pid, claim.process_started) if claim else None


def _server_of(life: Life) -> Process | None:
    supervisor = _supervisor_of(life)
    if supervisor is None or not supervisor.alive:
        return None
    parent = int(Path(f"/proc/{supervisor.pid}/stat").read_text().rpartition(")")[2].split()[1])
    return Process(parent, process_start(parent) or "")

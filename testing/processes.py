"""Find processes that tests have started, by pid and start time, and wait for conditions instead of sleeping."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from climate_ref_prefect.execution.host.batch_job_id import JOB_ID
from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.execution.host.process_tree import descendants

MARKER = "STARTED_BY_TEST_PROCESS"
"""Environment variable that everything inherits which the tests of one process start."""
SERVICE = "SERVES_THE_WHOLE_TEST_SESSION"
"""Environment variable of what a session fixture starts and ends itself, whichever test asked for it first."""
WORKER = "climate_ref_prefect.execution.worker."
"""In the command line of each process that a transport starts; forks have their parent's."""
_PAUSE_SECONDS = 0.01
IN_A_JOB = (f"{JOB_ID}=", "SLURM_JOB_ID=", "PBS_JOBID=")
"""In the environment of what a batch scheduler started: jobs are looked after by their own tests."""
_PYTHONS_OWN = "from multiprocessing."
_PROC = Path("/proc")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Process:
    """One process, never mistaken for a later one of the same pid."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return process_start(self.pid) == self.started

    @property
    def command(self) -> str:
        """Its command line; empty once it has ended."""
        return _read(self.pid, "cmdline").replace("\0", " ").strip()

    @property
    def is_of_worker(self) -> bool:
        """Whether it is a warm server, a supervisor or a child."""
        return WORKER in self.command


def wait_until(predicate: Callable[[], Value | None], timeout_seconds: float = 60.0) -> Value:
    """Return what `predicate` gives as soon as that is true; fails after `timeout_seconds`."""
    give_up_at = time.monotonic() + timeout_seconds
    while not (value := predicate()):
        assert time.monotonic() < give_up_at, f"still not so after {timeout_seconds:g} s"
        time.sleep(_PAUSE_SECONDS)
    return value


def noted_processes(output: Path, number: int) -> list[Process]:
    """Return the processes that `acts.note_process` has noted, waiting for `number` of them."""
    wait_until(lambda: len(list(output.glob("pid?"))) == number)
    notes = [path.read_text(encoding="utf-8").split() for path in output.glob("pid?")]
    return [Process(int(pid), started) for pid, started in notes]


def none_alive(processes: Iterable[Process]) -> bool:
    """Whether all of them have ended."""
    return not any(process.alive for process in processes)


def started_here() -> set[Process]:
    """Return what runs below this process, and what inherited its marker and has detached."""
    own = os.getpid()
    marker = f"{MARKER}={os.environ.get(MARKER, own)}"
    marked = (pid for pid in _all_pids() if pid != own and marker in _read(pid, "environ").split("\0"))
    return {
        Process(pid, started)
        for pid in {*descendants(own), *marked}
        if (started := process_start(pid)) is not None and _PYTHONS_OWN not in _read(pid, "cmdline")
    }


def running_with(argument: str, below: Path | None = None) -> list[int]:
    """Return all processes with an argument and with another one below a directory, whichever process started them."""
    commands = {pid: _read(pid, "cmdline").split("\0") for pid in _all_pids()}
    return [
        pid
        for pid, command in commands.items()
        if argument in command and (below is None or any(part.startswith(f"{below}/") for part in command))
    ]


def left_behind(before: set[Process]) -> set[Process]:
    """Return what was started since, but for the backends of databases and servers that were there before."""
    now = started_here()
    if now <= before:
        return set()
    services = {process.pid for process in before if not process.is_of_worker}
    services |= {process.pid for process in now if _is_of_a_session(_read(process.pid, "environ").split("\0"))}
    return {process for process in now - before if not _is_below(process.pid, services)}


def _is_of_a_session(environment: Iterable[str]) -> bool:
    return any(variable == f"{SERVICE}=1" or variable.startswith(IN_A_JOB) for variable in environment)


def _is_below(pid: int, services: set[int]) -> bool:
    while pid and pid not in services:
        pid = _parent(pid)
    return pid in services


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _all_pids() -> list[int]:
    return [int(path.name) for path in _PROC.iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_bytes().decode(errors="replace")
    except OSError:  # it has ended
        return ""

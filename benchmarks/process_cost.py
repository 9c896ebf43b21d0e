"""What a program costs: its wall time, and the processor time of all processes that it starts, however they end."""

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from climate_ref_prefect.execution.host.process_tree import become_subreaper

_END_SECONDS = 60.0


@dataclass(frozen=True)
class Cost:
    """What one run of a program has cost."""

    wall_seconds: float
    cpu_seconds: float
    output: str
    errors: str


def run_measured(command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """
    Run a program, and wait for all that it leaves behind, too.

    The processor time is that which the kernel has counted for every process that was waited for. Orphans become
    children of this process, so that none is missing.

    Parameters
    ----------
    command
        The program with its arguments.
    directory
        Its working directory.
    environment
        Variables that it has beside those of this process.
    """
    if not become_subreaper():
        raise SystemExit("This system does not let a process adopt orphans: their processor time would be missing.")
    before = _children_seconds()
    began = time.monotonic()
    ended = subprocess.run(
        command,
        check=False,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    wall_seconds = time.monotonic() - began
    _end_orphans()
    if ended.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with code {ended.returncode}:\n{ended.stdout}{ended.stderr}"[-4000:]
        )
    return Cost(wall_seconds, _children_seconds() - before, ended.stdout, ended.stderr)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_orphans() -> None:
    """Wait for the processes that the program has left; end those that stay."""
    left = psutil.Process().children(recursive=True)
    _, staying = psutil.wait_procs(left, timeout=_END_SECONDS)
    for process in staying:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)

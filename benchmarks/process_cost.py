"""What a program costs: its wall time, and the processor time of all processes that it starts, however they end."""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from climate_ref_prefect.execution.host.process_tree import become_subreaper

LIMIT_SECONDS = 600.0
_END_SECONDS = 60.0
_TAIL_CHARACTERS = 4000


@dataclass(frozen=True)
class Cost:
    """What one run of a program has cost."""

    wall_seconds: float
    cpu_seconds: float
    output: str
    errors: str


class ProgramFailed(RuntimeError):  # noqa: N818 - as it is said
    """A program has ended with an error, has taken too long, or has not done what it was to do."""

    def __init__(self, command: Sequence[str], what: str, log: str) -> None:
        super().__init__(f"{' '.join(command)}\n{what}; the end of what it said:\n{log[-_TAIL_CHARACTERS:]}")


def run_measured(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    limit_seconds: float = LIMIT_SECONDS,
) -> Cost:
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
    limit_seconds
        After this time it is killed, with all processes below it.

    Raises
    ------
    ProgramFailed
        It has ended with an error, or not in time.
    """
    if not become_subreaper():
        raise SystemExit("This system does not let a process adopt orphans: their processor time would be missing.")
    before = _children_seconds()
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        program = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        in_time = _ends_in(program, limit_seconds)
        wall_seconds = time.monotonic() - began
        _end_orphans(_END_SECONDS if in_time else 0.0)
        cost = Cost(wall_seconds, _children_seconds() - before, _text(output), _text(errors))
    if not in_time or program.returncode:
        what = f"ended with code {program.returncode}" if in_time else f"took more than {limit_seconds:g} s"
        raise ProgramFailed(command, what, cost.output + cost.errors)
    return cost


def _ends_in(program: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    else:
        return True
    finally:
        if program.returncode is None:  # It takes too long, or this process has been interrupted.
            _kill_with_all_below(program)


def _kill_with_all_below(program: "subprocess.Popen[bytes]") -> None:
    below = psutil.Process(program.pid).children(recursive=True)
    program.kill()
    program.wait()
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_orphans(patience_seconds: float) -> None:
    """Wait for the processes that the program has left; end those that stay."""
    left = psutil.Process().children(recursive=True)
    _, staying = psutil.wait_procs(left, timeout=patience_seconds)
    for process in staying:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)

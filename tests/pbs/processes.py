"""The processes of this machine: which belong to a job, and what they use."""

import ctypes
import os
import signal
import time
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.pbs.jobs import Usage

_PROC = Path("/proc")
_SET_CHILD_SUBREAPER = 36
_PAUSE_SECONDS = 0.01
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class ProcessInfo:
    """One process, from `/proc/<pid>/stat`."""

    pid: int
    parent: int
    session: int
    usage: Usage


def all_processes() -> list[ProcessInfo]:
    """Return every process that is not a zombie."""
    found = (_read(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
    return [process for process in found if process is not None]


def of_session(leader: int, processes: Iterable[ProcessInfo]) -> list[ProcessInfo]:
    """Return the session of `leader`."""
    return [process for process in processes if process.session == leader]


def of_tree(root: int, processes: Iterable[ProcessInfo]) -> list[ProcessInfo]:
    """Return the session of `root`, and what descends from it in sessions of its own."""
    children: dict[int, list[ProcessInfo]] = {}
    found: dict[int, ProcessInfo] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
        if process.session == root:
            found[process.pid] = process
    waiting = [root, *found]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child.pid)
    return list(found.values())


def total(processes: Iterable[ProcessInfo]) -> Usage:
    """Return what processes use together; of time, what their dead children used as well."""
    usages = [process.usage for process in processes]
    return Usage(
        sum(usage.cpu_seconds for usage in usages),
        sum(usage.memory_kb for usage in usages),
        sum(usage.virtual_kb for usage in usages),
    )


def send(number: signal.Signals, processes: Iterable[ProcessInfo]) -> None:
    """Send a signal to all of them."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own below this process, so that it can be found in the end."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def reap(known: Container[int]) -> None:
    """Bury adopted processes that have ended; not the `known` ones, for whose exit status someone waits."""
    with suppress(ChildProcessError):  # there is no child at all
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in known:
                return
            os.waitpid(ended.si_pid, 0)


def kill_descendants() -> None:
    """End all that descends from this process, and wait for it."""
    while descendants := _descendants():
        send(signal.SIGKILL, descendants)
        time.sleep(_PAUSE_SECONDS)


def _descendants() -> list[ProcessInfo]:
    return [process for process in of_tree(os.getpid(), all_processes()) if process.pid != os.getpid()]


def environment_of(lines: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that a process can be given: no name or value with a null byte."""
    return {name: value for name, value in lines.items() if "\0" not in name + value}


def _read(pid: int) -> ProcessInfo | None:
    try:
        fields = _fields(_PROC / str(pid) / "stat")
    except OSError:  # it has ended
        return None
    if fields[0] in "ZX":
        return None
    ticks = sum(int(field) for field in fields[11:15])
    usage = Usage(ticks / _TICKS, int(fields[21]) * _PAGE_KB, int(fields[20]) // 1024)
    return ProcessInfo(pid, int(fields[1]), int(fields[3]), usage)


def _fields(stat: Path) -> list[str]:
    """Return the fields of proc(5) from the third one on: a name may hold spaces and parentheses."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()

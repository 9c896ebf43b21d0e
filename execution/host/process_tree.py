"""The processes below one process: find them, measure them, signal and end them."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_LINUX = sys.platform == "linux"
_C_LIBRARY = ctypes.CDLL(None, use_errno=True)
"""Opened once, before any fork, because opening it makes new classes."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KIB_PER_MIB = 1024
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAUSE_SECONDS = 0.01
_PAGE_BYTES = 1 << 12
_UNKILLABLE_SECONDS = 30.0
"""How long to wait for killed processes. One in uninterruptible I/O outlives SIGKILL."""


def become_subreaper() -> bool:
    """Adopt the orphans of every descendant, however they detached. Returns False if the system cannot (macOS)."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel signal this process when the thread that forked it ends. Does nothing on macOS."""
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> bool:
    if not _LINUX:
        return False
    return bool(_C_LIBRARY.prctl(option, value, 0, 0, 0) == 0)


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`, without `pid` itself, parents before their children."""
    found = children(pid)
    for child in found:
        found.extend(children(child))
    return found


def children(pid: int) -> list[int]:
    """Return the direct children of a process, zombies included."""
    if not _LINUX:
        return _children_by_psutil(pid)
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - read often
            found.extend(map(int, read_kernel_file(f"/proc/{pid}/task/{thread}/children").split()))
    except OSError:  # It ended while it was read.
        return found
    return found


def read_kernel_file(path: str | Path) -> bytes:
    """Return what a file of the kernel's says now; several are read for each execution, so this costs little."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, _PAGE_BYTES)
        while chunk := os.read(descriptor, _PAGE_BYTES):
            content += chunk
    finally:
        os.close(descriptor)
    return content


def _children_by_psutil(pid: int) -> list[int]:
    import psutil  # noqa: PLC0415 - only macOS needs it

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []


def memory_mb(pids: Iterable[int]) -> tuple[float, str]:
    """
    Return the memory of some processes in MiB, and how it was measured.

    `pss` shares pages out among the processes that map them, so that pages common to a forked tree
    count once (Linux, `/proc/PID/smaps_rollup`); `rss` counts them in each.
    """
    total_mb = 0.0
    source = "pss"
    for pid in pids:
        pss_mb = _pss_mb(pid)
        if pss_mb is None:
            source = "rss"
            pss_mb = resident_mb(pid)
        total_mb += pss_mb
    return total_mb, source


def _pss_mb(pid: int) -> float | None:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - sampled often
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) / _KIB_PER_MIB
    except (ProcessLookupError, FileNotFoundError):
        return 0.0 if _LINUX else None
    except OSError:
        return None
    return 0.0


def resident_mb(pid: int) -> float:
    """Return the resident memory of one process in MiB; 0 once it has ended."""
    if _LINUX:
        try:
            pages = int(read_kernel_file(f"/proc/{pid}/statm").split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / _KIB_PER_MIB**2
    import psutil  # noqa: PLC0415 - only macOS needs it

    try:
        return float(psutil.Process(pid).memory_info().rss) / _KIB_PER_MIB**2
    except psutil.NoSuchProcess:
        return 0.0


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of some processes and of the children that they have waited for (Linux)."""
    ticks = 0
    for pid in pids:
        try:
            fields = read_kernel_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / _CLOCK_TICKS


def terminate(grace_seconds: float) -> list[int]:
    """
    End all processes below the calling one: SIGTERM, then SIGKILL for those that are left after the grace.

    Returns the processes that SIGKILL did not end, normally none.
    """
    if not reap():  # a subreaper without children has no descendants
        return []
    own = os.getpid()
    kill_at = time.monotonic() + grace_seconds
    give_up_at = kill_at + _UNKILLABLE_SECONDS
    _signal(descendants(own), signal.SIGTERM)
    while reap() and time.monotonic() < kill_at:
        time.sleep(_PAUSE_SECONDS)
    while reap() and time.monotonic() < give_up_at:
        _signal(descendants(own), signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    return descendants(own)


def signal_descendants(number: signal.Signals) -> None:
    """Send a signal to all processes below the calling one."""
    _signal(descendants(os.getpid()), number)


def end_tree(pid: int, timeout_seconds: float) -> list[int]:
    """
    Kill a process of this user and all processes below it, and wait until they have ended.

    The process itself is killed last. As a subreaper it adopts processes that lose their parent, even while it is
    stopped, so that none escapes by detaching.

    Parameters
    ----------
    pid
        The supervisor of an execution. It need not be a child of the calling process.
    timeout_seconds
        How long to wait. A process that hangs in the kernel takes longer.

    Returns
    -------
    list of int
        The processes that have not ended yet, normally none.
    """
    give_up_at = time.monotonic() + timeout_seconds
    while (below := living(descendants(pid))) and time.monotonic() < give_up_at:
        _signal(below, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)
    _signal([pid], signal.SIGKILL)
    while (left := living([*below, pid])) and time.monotonic() < give_up_at:
        time.sleep(_PAUSE_SECONDS)
    return left


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, as by SIGSTOP. Always False on macOS."""
    return process_state(pid) in ("T", "t")


def living(pids: Iterable[int]) -> list[int]:
    """Return those of some processes that have not ended. A zombie has ended."""
    return [pid for pid in pids if process_state(pid) not in ("", "Z", "X")]


def process_state(pid: int) -> str:
    """Return the state of a process as the kernel's letter; empty if there is no such process."""
    if not _LINUX:
        import psutil  # noqa: PLC0415 - only macOS needs it

        return "R" if psutil.pid_exists(pid) else ""
    try:
        return read_kernel_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def name_of(pid: int) -> str:
    """Return the kernel's name of a process (Linux)."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "ended meanwhile"


def reap() -> bool:
    """Reap the children that have ended. Returns whether any child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):  # It has ended, or belongs to another user now, as after sudo.
            continue

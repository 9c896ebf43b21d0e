"""The identity of a process: the boot of its host, its pid namespace, its pid and its start time."""

import os
from pathlib import Path

from climate_ref_prefect.execution.host.process_tree import read_kernel_file

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """Return the id of the current boot of this host; empty if the system does not say."""
    try:
        return read_kernel_file(_BOOT_ID).decode().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return the id of the PID namespace of this process; empty if the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - looked at by each execution
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """Return the start time of a process as an opaque text; None if there is no such process or it is a zombie."""
    try:
        status = read_kernel_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return _start_without_procfs(pid)
    return None if status[0] in (b"Z", b"X") else status[19].decode()


def _start_without_procfs(pid: int) -> str | None:
    if Path("/proc/self").exists():
        return None
    import psutil  # noqa: PLC0415 - only macOS needs it, and importing it costs every worker 20 ms

    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None

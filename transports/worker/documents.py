"""The small documents that workers and coordinators leave for each other beside envelope and outcome."""

import os
import socket
import time
import uuid
from pathlib import Path
from typing import Self

from climate_ref_prefect.diagnostics.model import Document
from climate_ref_prefect.transports.worker.batch_job import batch_job
from climate_ref_prefect.transports.worker.process_tree import read_kernel_file

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Claim(Document):
    """Who runs an execution: written once, by exclusive create."""

    token: str
    """Unique, so that a worker whose answer got lost recognises its own claim."""
    host: str
    boot_id: str
    pid: int
    process_started: str
    """Start time of the process in clock ticks since boot: a pid alone may be another process's by now."""
    claimed_at: float
    """Seconds since the epoch."""
    job_id: str = ""
    """The batch job that the process is part of; empty without one."""
    pid_namespace: str = ""
    """In which the pid is counted, for example a container's; empty where the system does not say."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return a claim in the name of the calling process."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=os.getpid(),
            process_started=process_start(os.getpid()) or "",
            claimed_at=time.time(),
            job_id=batch_job().get("job_id", ""),
            pid_namespace=pid_namespace(),
        )

    def is_visible_here(self) -> bool:
        """
        Whether the claiming process could be seen from here if it lived.

        The host may have another name by now. In another container of the same host its pid means another process.
        """
        if not self.boot_id:
            return self.is_of_this_host()
        return (self.boot_id, self.pid_namespace) == (boot_id(), pid_namespace())

    def is_of_this_host(self) -> bool:
        """Whether the claiming process ran on this host, since its last boot or before."""
        return self.host == socket.gethostname()

    def is_alive_here(self) -> bool:
        """Whether the claiming process lives, as far as this host can tell."""
        started = process_start(self.pid)
        return started is not None and started == self.process_started and self.boot_id == boot_id()


class Closed(Document):
    """Says that the coordinator has given an attempt up: an outcome that comes later is ignored."""

    reason: str
    closed_at: float
    """Seconds since the epoch."""


def boot_id() -> str:
    """Return what identifies the current boot of this host, or nothing where the system does not say."""
    try:
        return read_kernel_file(_BOOT_ID).decode().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """Return what identifies the processes that this one can see, or nothing where the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - looked at by each execution
    except OSError:
        return ""


def process_start(pid: int) -> str | None:
    """Return when a process started, as an opaque text; none if there is no such process or only a zombie."""
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

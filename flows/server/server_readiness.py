"""Wait until a Prefect server answers, and lower its priority then."""

import os
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.host.process_tree import cpu_seconds, descendants
from climate_ref_prefect.flows.server.server_description import ServerDescription, ServerError

STALLED_SECONDS: Final = 90.0
_START_SECONDS: Final = 900.0
_PAUSE_SECONDS: Final = 0.05
_NICENESS: Final = 10


def wait_until_ready(server: ServerDescription, api_url: str, log: Path, stalled_seconds: float) -> None:
    """
    Wait while a server makes progress: on a busy machine, and in a fresh home, a start takes a minute and more.

    Raises
    ------
    ServerError
        If it ends, makes no progress or takes a quarter of an hour. The message names its log.
    """
    began = moved_at = time.monotonic()
    progress = _progress(server.pid, log)
    while is_alive := server.is_alive:
        if _answers(api_url):
            return
        now, before, progress = time.monotonic(), progress, _progress(server.pid, log)
        moved_at = now if progress != before else moved_at
        if now - moved_at > stalled_seconds or now - began > _START_SECONDS:
            break
        time.sleep(_PAUSE_SECONDS)
    raise ServerError(f"The Prefect server {'does not answer' if is_alive else 'has ended'}. Its log: {log}")


def run_in_background(pid: int) -> None:
    """Lower the priority of a server that answers: from now on executions get the processors first."""
    # Until a round finds none, because a thread that starts meanwhile has the priority of the one that started it.
    while sum(_lower_priority(thread) for process in (pid, *descendants(pid)) for thread in _threads_of(process)):
        pass


def _lower_priority(thread: int) -> bool:
    """Lower the priority of a thread; return False if it had that, or has ended."""
    with suppress(ProcessLookupError):
        if os.getpriority(os.PRIO_PROCESS, thread) < _NICENESS:
            os.setpriority(os.PRIO_PROCESS, thread, _NICENESS)
            return True
    return False


def _answers(api_url: str) -> bool:
    with (
        suppress(urllib.error.URLError, ConnectionError, TimeoutError),
        urllib.request.urlopen(f"{api_url}/health", timeout=2),  # noqa: S310 - our own loopback address
    ):
        return True
    return False


def _progress(pid: int, log: Path) -> tuple[int, float]:
    """Return what grows while a server starts: its log, and its processor time in tenths of seconds."""
    size = log.stat().st_size if log.exists() else 0  # There is none where a person has started it.
    return size, round(cpu_seconds([pid, *descendants(pid)]), 1)


def _threads_of(pid: int) -> list[int]:
    try:
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:  # It has just ended, or the system has no such directory.
        return [pid]

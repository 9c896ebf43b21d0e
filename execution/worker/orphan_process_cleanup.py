"""Clean up what a diagnostic leaves on its node: end orphan processes, remove its shared memory segments."""

import ctypes
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from climate_ref_prefect.execution.host.process_tree import living, name_of, read_kernel_file

_SEGMENTS: Final = Path("/proc/sysvipc/shm")
_SHARED_FILES: Final = Path("/dev/shm")  # noqa: S108 - looked at, never written to
_REMOVE: Final = 0
"""IPC_RMID."""
_MENTIONED: Final = 5
_LOG: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OrphanCleanup:
    """
    Compares processes and shared memory of a node before and after one execution.

    A System V segment names the process that made it, so the segments of the child are removed. Segments of other
    ended processes, and files in `/dev/shm`, may belong to another execution that ran at the same time. The log names
    them, and they stay.
    """

    def __init__(self) -> None:
        self._began = int(time.time())
        self._files_before = _shared_files()
        self._processes: list[str] = []

    def record_processes(self, pids: Iterable[int]) -> None:
        """Record the processes that the diagnostic has left running and that are about to be ended."""
        self._processes = [f"{name_of(pid)} ({pid})" for pid in pids]

    def clean_up(self, child: int, log: Path) -> dict[str, JsonValue]:
        """
        Remove the segments of the child, and write into the log what was left.

        Returns
        -------
        dict
            What goes to the telemetry: `left_processes`, `left_segments` (removed), `new_segments` (of others, not
            removed), `new_shared_memory_files`.
        """
        makers = self._makers_of_segments()
        segments = [number for number, maker in makers.items() if maker == child and _remove(number)]
        others = [str(number) for number, maker in makers.items() if maker != child and not living([maker])]
        files = sorted(_shared_files() - self._files_before)
        lines = []
        if self._processes:
            lines.append(f"It left {len(self._processes)} processes, which were ended: {_some(self._processes)}.")
        if segments:
            lines.append(f"It left {len(segments)} segments of shared memory, which were removed.")
        if others:
            lines.append(
                f"While it ran, {len(others)} segments of shared memory were made by processes of this user that have "
                f"ended: {_some(others)}. Its own may be among them; `ipcrm -m NUMBER` removes one."
            )
        if files:
            lines.append(
                f"While it ran, {len(files)} files of this user appeared in {_SHARED_FILES}: {_some(files)}. "
                "It is not known which program made them. They use memory of the node until they are removed."
            )
        _append(log, lines)
        counts = {
            "left_processes": len(self._processes),
            "left_segments": len(segments),
            "new_segments": len(others),
            "new_shared_memory_files": len(files),
        }
        return {name: count for name, count in counts.items() if count}

    def _makers_of_segments(self) -> dict[int, int]:
        """Return the unused segments that processes of this user made since the execution began, with their makers."""
        try:
            rows = [line.split() for line in read_kernel_file(_SEGMENTS).decode().splitlines()]
        except OSError:
            return {}
        segments = [dict(zip(rows[0], map(int, row), strict=False)) for row in rows[1:]]
        return {
            segment["shmid"]: segment["cpid"]
            for segment in segments
            if segment["uid"] == os.geteuid() and segment["nattch"] == 0 and segment["ctime"] >= self._began
        }


def _shared_files() -> set[str]:
    """Return the files of this user in the node's shared memory."""
    own = os.geteuid()
    found = set()
    try:
        with os.scandir(_SHARED_FILES) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_uid == own:
                    found.add(entry.name)
    except OSError:  # The directory does not exist, or changes while it is read: return the files that were found.
        return found
    return found


def _remove(segment: int) -> bool:
    return bool(ctypes.CDLL(None, use_errno=True).shmctl(segment, _REMOVE, None) == 0)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MENTIONED} more" if len(names) > _MENTIONED else ""
    return ", ".join(names[:_MENTIONED]) + more


def _append(log: Path, lines: list[str]) -> None:
    if not lines:
        return
    try:
        descriptor = os.open(log, _LOG)
    except OSError:  # The diagnostic has removed the log, or scratch is not available any more.
        return
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.write("".join(f"[climate-ref-prefect] {line}\n" for line in lines).encode(errors="backslashreplace"))

"""The control groups (version 1) of one node: who is in them, ending all of these, removing the groups."""

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

from climate_ref_prefect.testing.processes import wait_until
from tests.slurm.configuration import CGROUP_MOUNT

_MEMBERS = "pids"
"""A hierarchy that SLURM never touches: whatever a node starts stays in the group that the node was started in."""


def group_of(node: str) -> Path:
    """Return the group which holds a node's daemon and all that it ever started."""
    return CGROUP_MOUNT / _MEMBERS / _name(node)


def create(node: str) -> Path:
    """Make the group for a node's daemon, and return its path."""
    group = group_of(node)
    group.mkdir(exist_ok=True)
    return group


def members(node: str) -> set[int]:
    """Return the pids of a node's daemon, its stepds and its jobs' processes."""
    try:
        return {int(pid) for pid in (group_of(node) / "cgroup.procs").read_text().split()}
    except FileNotFoundError:
        return set()


def kill(node: str) -> None:
    """End all that runs on a node as a power cut would, and wait until it has ended."""
    wait_until(lambda: not _kill_once(node))


def remove(node: str) -> None:
    """Remove the groups that SLURM and we have made for a node; nothing may run in them any more."""
    for top in CGROUP_MOUNT.glob(f"*/{_name(node)}"):
        for group, _, _ in os.walk(top, topdown=False):
            wait_until(partial(_removed, Path(group)))


def _kill_once(node: str) -> set[int]:
    pids = members(node)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # the kernel still counts a process that has just ended
        return False
    return True


def _name(node: str) -> str:
    return f"slurm_{node}"  # as slurmd names its own

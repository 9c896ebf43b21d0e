"""
Read the memory limit and the count of out-of-memory kills from the cgroup of this process, where it has one.

Files: kernel documentation, cgroup-v2 "memory.events", "memory.peak"; cgroup-v1 "memory.oom_control".
"""

from pathlib import Path

from climate_ref_prefect.execution.host.process_tree import read_kernel_file

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


class OomKillCounter:
    """
    Counts the processes that the kernel kills for lack of memory in the cgroup in which this process is now.

    Parameters
    ----------
    membership
        The file that names the cgroup.
    mount
        Where the cgroup file systems are mounted.
    """

    def __init__(self, membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> None:
        self._events = _event_files(membership, mount)
        self._at_start = self._total()

    def since_start(self) -> int:
        """Return how many were killed since this object was made; 0 if the kernel does not say."""
        return self._total() - self._at_start

    def _total(self) -> int:
        for events in self._events:
            try:
                lines = read_kernel_file(events).decode().splitlines()
            except OSError:
                continue
            for line in lines:
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0


def memory_limit_mb(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> float | None:
    """Return the smallest memory limit, in MiB, of this cgroup and those above it; None if there is no limit."""
    limits = []
    for folder, name in _limit_files(membership, mount):
        for level in (folder, *folder.parents):
            limits.append(_limit_mb(level / name))
            if level == mount:
                break
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _limit_mb(path: Path) -> float | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    unlimited_v1 = 1 << 60
    return int(text) / 2**20 if text.isdigit() and int(text) < unlimited_v1 else None


def _folders(membership: Path, mount: Path) -> tuple[Path | None, Path | None]:
    """Return the folders of this process in the unified and in the old memory hierarchy."""
    unified = memory = None
    try:
        lines = read_kernel_file(membership).decode(errors="surrogateescape").splitlines()
    except OSError:
        return None, None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            unified = mount / path.lstrip("/")
        elif "memory" in controllers.split(","):
            memory = mount / "memory" / path.lstrip("/")
    return unified, memory


def _event_files(membership: Path, mount: Path) -> list[Path]:
    unified, memory = _folders(membership, mount)
    files = [unified / "memory.events"] if unified else []
    return files + ([memory / "memory.oom_control"] if memory else [])


def _limit_files(membership: Path, mount: Path) -> list[tuple[Path, str]]:
    unified, memory = _folders(membership, mount)
    files = [(unified, "memory.max")] if unified else []
    return files + ([(memory, "memory.limit_in_bytes")] if memory else [])

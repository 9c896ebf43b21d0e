"""What a cluster needs of the machine, and running a command."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from tests.slurm.configuration import CGROUP_MOUNT

PACKAGES = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "munged": "munge",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
}
"""For each program the Debian package that has it."""
_ADMINISTRATORS_PATH = ("/usr/sbin", "/sbin")


class ClusterError(RuntimeError):
    """The cluster cannot be started, or a command failed."""


def search_path() -> str:
    """Return PATH with the directories where Debian has daemons."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMINISTRATORS_PATH])


def why_unavailable() -> str | None:
    """Return why no cluster can be started here, and what to do about it; None if one can."""
    where = search_path()
    missing = sorted(package for program, package in PACKAGES.items() if shutil.which(program, path=where) is None)
    if missing:
        return f"SLURM's programs are missing. Install these Debian packages: {' '.join(missing)}"
    if os.geteuid() != 0:
        return "slurmd makes control groups for its jobs, which only root may: run this as root"
    if not (CGROUP_MOUNT / "freezer" / "cgroup.procs").exists():
        return f"Debian's slurmd is used with control groups of version 1: mount them below {CGROUP_MOUNT}"
    return None


def run(command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float = 60.0) -> str:
    """Return what a command printed; raises ClusterError with its words if it fails or takes too long."""
    words = " ".join(command)
    try:
        ended = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{words} has not ended within {timeout_seconds:g} s") from error
    if ended.returncode != 0:
        raise ClusterError(f"{words} ended with {ended.returncode}: {(ended.stderr + ended.stdout).strip()}")
    return ended.stdout

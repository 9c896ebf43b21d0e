"""Processors and memory of this machine that executions may use, within CPU affinity and cgroup limits."""

import math
import os
from functools import cache
from pathlib import Path

import psutil

from climate_ref_prefect.execution.host.cgroup_memory import memory_limit_mb

_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


@cache
def usable_cpu() -> int:
    """Return the processors that this process may use, at least one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(affinity, _cpu_quota())))


@cache
def usable_memory_mb() -> int:
    """Return the memory of this machine, or of its cgroup if that is smaller, in MiB."""
    total_mb = psutil.virtual_memory().total / 2**20
    limit_mb = memory_limit_mb()
    return int(total_mb if limit_mb is None else min(total_mb, limit_mb))


def _cpu_quota(cpu_max: Path = _CPU_MAX) -> float:
    """Return the number of processors that the cgroup's quota amounts to (cgroup v2, `cpu.max`)."""
    try:
        quota, period = cpu_max.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota == "max" else int(quota) / int(period)

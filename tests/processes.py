"""Looking at processes, from the shipped suite."""

from climate_ref_prefect.testing.processes import (
    MARKER,
    SERVICE,
    Process,
    left_behind,
    none_alive,
    noted_processes,
    running_with,
    started_here,
    wait_until,
)

__all__ = [
    "MARKER",
    "SERVICE",
    "Process",
    "left_behind",
    "none_alive",
    "noted_processes",
    "running_with",
    "started_here",
    "wait_until",
]

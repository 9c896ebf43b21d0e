"""Compute how long an execution may send no heartbeat before it counts as over (docs/decisions/0015)."""

from typing import Final

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory

_HEARTBEATS: Final = 3


def heartbeat_expiry_seconds(execution: ExecutionDirectory, delay_seconds: float) -> float:
    """
    Return the time without a heartbeat after which an execution counts as over.

    Parameters
    ----------
    execution
        Its directory, whose envelope says how often the heartbeat comes.
    delay_seconds
        How late a file that another host has written may become visible.
    """
    try:
        limits = execution.read_envelope().limits
    except (OSError, UnreadableDocumentError):
        limits = WorkerLimits()
    return _HEARTBEATS * limits.heartbeat_seconds + delay_seconds

"""How long an execution must have given no sign of life before it counts as over (docs/decisions/0015)."""

from typing import Final

from climate_ref_prefect.diagnostics.definition import WorkerLimits
from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory

_HEARTBEATS: Final = 3


def quiet_seconds(execution: ExecutionDirectory, delay_seconds: float) -> float:
    """
    Return the time without a sign of life after which an execution counts as over.

    Parameters
    ----------
    execution
        Its directory, where the envelope says how often it gives a sign of life.
    delay_seconds
        How late a file of another host may show.
    """
    try:
        limits = execution.read_envelope().limits
    except (OSError, UnreadableDocumentError):
        limits = WorkerLimits()
    return _HEARTBEATS * limits.heartbeat_seconds + delay_seconds

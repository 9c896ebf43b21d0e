"""Fill REF's columns of what an execution used: by REF's own measure where there is one, and by ours beside it."""

from typing import Any, Final

from climate_ref_prefect.execution.outcome import Telemetry
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.attempt_rows import AttemptRow

_MIB: Final = 1 << 20
OURS: Final = "climate_ref_prefect"
"""Key of our own measurements in REF's `resource_context`."""


def fill_resource_columns(row: Any, attempt: AttemptRow, telemetry: Telemetry, *, measured: bool) -> None:
    """
    Fill REF's columns of resources.

    A success has REF's own measure by then. A process that was killed has left none: it gets ours, which counts memory
    that processes share once (PSS) where REF counts it for each of them.

    Parameters
    ----------
    row
        REF's row of the execution.
    attempt
        The attempt that has ended.
    telemetry
        What the worker measured.
    measured
        Whether REF is configured to measure.
    """
    if not measured or telemetry.started_at <= 0:
        return
    queue_seconds = max(0.0, telemetry.started_at - attempt.created_at)
    if row.wall_seconds is None:
        upstream.record_resource_usage(row, _usage_of(telemetry), queue_seconds)
    row.queue_seconds = queue_seconds
    row.memory_limit_bytes = attempt.resources.memory_mb * _MIB
    row.cpu_limit = float(attempt.resources.cpu)
    row.resource_context = {**(row.resource_context or {}), OURS: _context(attempt, telemetry)}


def _usage_of(telemetry: Telemetry) -> Any:
    peak_bytes = int(telemetry.peak_rss_mb * _MIB)
    return upstream.ResourceUsage(
        wall_seconds=telemetry.duration_seconds,
        cpu_seconds=telemetry.cpu_seconds,
        peak_memory_bytes=peak_bytes,
        memory_source="proc_tree" if peak_bytes else "unavailable",
        cgroup_peak_bytes=None,
        proc_tree_peak_bytes=peak_bytes,
        memory_limit_bytes=None,
        cpu_limit=None,
        exclusive=False,
        context={},
    )


def _context(attempt: AttemptRow, telemetry: Telemetry) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "transport": attempt.transport,
        "host": telemetry.host,
        "wall_seconds": telemetry.duration_seconds,
        "cpu_seconds": telemetry.cpu_seconds,
        "peak_memory_mb": telemetry.peak_rss_mb,
        "memory_measure": telemetry.memory_source,
        "granted": attempt.resources.model_dump(mode="json"),
        **telemetry.transport_meta,
    }

"""Say in REF's log of an execution where it ran, since REF's commands show nothing of that but this log."""

from collections.abc import Iterator

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import Telemetry


def where_it_ran(granted: ResourceHint, telemetry: Telemetry) -> str:
    """
    Return where an attempt ran, what it was granted and what it used; empty if no worker has begun with it.

    It has no brackets: `ref executions inspect` would take what is in them for markup.

    Parameters
    ----------
    granted
        The resources of the attempt.
    telemetry
        What its worker measured, with what the transport knows of the job.
    """
    if telemetry.started_at <= 0:
        return ""
    return f"ran {'; '.join(_parts(granted, telemetry))}"


def _parts(granted: ResourceHint, telemetry: Telemetry) -> Iterator[str]:
    meta = telemetry.transport_meta
    if "job_id" in meta:
        queue = f", queue {meta['queue']}" if meta.get("queue") else ""
        yield f"in job {meta['job_id']} on {meta.get('node') or telemetry.host}{queue}"
    else:
        yield f"on {telemetry.host}"
    if "queue_wait_seconds" in meta:
        yield f"the job had waited {meta['queue_wait_seconds']} s"
    yield f"granted {granted.cpu} CPU, {granted.memory_mb} MiB, {granted.wall_clock}"
    yield f"used {telemetry.peak_rss_mb:.0f} MiB, {telemetry.duration_seconds:.1f} s"

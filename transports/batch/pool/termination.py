"""Explain the end of an execution by the end of its job, and describe the job for the telemetry."""

import math
from collections.abc import Iterable
from datetime import timedelta

from pydantic import JsonValue

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.port import Termination


def termination_of(job: Job) -> Termination:
    """Return why a job has ended, in the scheduler's words."""
    record = job.record
    if record is None:
        return Termination(kind=FailureKind.WORKER_LOST, message=f"{job.scheduler} job {job.job_id} no longer exists.")
    where = f" on {record.node}" if record.node else ""
    words = record.words or "the reason is not known"
    return Termination(
        kind=record.kind or FailureKind.WORKER_LOST,
        message=f"{job.scheduler} job {job.job_id} ended{where} before the execution did: {words}.",
        meta=meta_of(job),
    )


def termination_by_restart(job: Job) -> Termination:
    """Return why an execution has ended whose job was restarted by the scheduler."""
    return Termination(
        kind=FailureKind.WORKER_LOST,
        message=f"{job.scheduler} has started job {job.job_id} again, although it was submitted to run only once. "
        "The execution has sent no heartbeat since.",
        meta=meta_of(job),
    )


def termination_of_waiting(jobs: Iterable[Job], scheduler: str, limit: timedelta) -> Termination:
    """Return why an execution is given up that got no job within a limit."""
    words = "; ".join(f"job {job.job_id}: {job.record.words}" for job in jobs if job.record)
    return Termination(
        kind=FailureKind.UNAVAILABLE,
        message=f"{scheduler} had no job for it within {limit}. {words}".rstrip(),
    )


def meta_of(job: Job) -> dict[str, JsonValue]:
    """Return what the telemetry contains about a job: its id, its requested size, the scheduler's measurements."""
    meta: dict[str, JsonValue] = {
        "job_id": job.job_id,
        "job_cpu": job.size.cpu,
        "job_memory_mb": job.size.memory_mb,
        "job_walltime_seconds": job.size.walltime_seconds,
    }
    if job.size.queue:
        meta["queue"] = job.size.queue
    if math.isfinite(job.ends_at):  # as reported by its worker; the record below is better
        wait_seconds = job.ends_at - job.size.walltime_seconds - job.submitted_at
        meta["queue_wait_seconds"] = round(max(0.0, wait_seconds), 1)
    record = job.record
    if record is not None:
        if record.node:
            meta["node"] = record.node
        if record.queue_wait_seconds is not None:
            meta["queue_wait_seconds"] = record.queue_wait_seconds
        meta |= record.meta
    return meta

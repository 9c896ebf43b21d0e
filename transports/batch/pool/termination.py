"""What people are told of an execution that its job has ended, and what the telemetry keeps of the job."""

import math
from collections.abc import Iterable
from datetime import timedelta

from pydantic import JsonValue

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.port import Termination


def termination_of(job: Job) -> Termination:
    """Return why a job that is over has ended, in the scheduler's words."""
    record = job.record
    if record is None:
        return Termination(kind=FailureKind.WORKER_LOST, message=f"{job.scheduler} job {job.job_id} is gone.")
    where = f" on {record.node}" if record.node else ""
    words = record.words or "nothing is known of its end"
    return Termination(
        kind=record.kind or FailureKind.WORKER_LOST,
        message=f"{job.scheduler} job {job.job_id} ended{where} before the execution did: {words}.",
        meta=meta_of(job),
    )


def termination_by_restart(job: Job) -> Termination:
    """Return why an execution has ended whose job the scheduler has started again from its beginning."""
    return Termination(
        kind=FailureKind.WORKER_LOST,
        message=f"{job.scheduler} has started job {job.job_id} again, although it was submitted so as to run once; "
        "the execution has given no sign of life since.",
        meta=meta_of(job),
    )


def termination_of_waiting(jobs: Iterable[Job], scheduler: str, limit: timedelta) -> Termination:
    """Return why an execution ends that no job has taken within a limit."""
    words = "; ".join(f"job {job.job_id}: {job.record.words}" for job in jobs if job.record)
    return Termination(
        kind=FailureKind.UNAVAILABLE,
        message=f"{scheduler} had no job for it within {limit}. {words}".rstrip(),
    )


def meta_of(job: Job) -> dict[str, JsonValue]:
    """Return what the telemetry tells of a job: what it is, what it asked for, what the scheduler measured."""
    meta: dict[str, JsonValue] = {
        "job_id": job.job_id,
        "job_cpu": job.size.cpu,
        "job_memory_mb": job.size.memory_mb,
        "job_walltime_seconds": job.size.walltime_seconds,
    }
    if job.size.queue:
        meta["queue"] = job.size.queue
    if math.isfinite(job.ends_at):  # what its worker told; the scheduler knows better, but may not have been asked yet
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

"""What is said of an execution whose job has ended under it."""

import math
import time
from collections.abc import Iterable
from datetime import timedelta

from pydantic import JsonValue

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.jobs import Execution, Job
from climate_ref_prefect.transports.port import Death
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.silence import quiet_seconds


def kind_of(outcome: ExecutionOutcome) -> FailureKind | None:
    """Return why an execution failed; none if it succeeded."""
    return outcome.failure.kind if outcome.failure else None


def ended_with_its_job(outcome: ExecutionOutcome) -> bool:
    """Whether the outcome only says that the job, or the pilot in it, went: the scheduler knows why."""
    kind = kind_of(outcome)
    return kind is not None and FAILURE_RULES[kind].backend_knows_why


def outcome_left(execution: Execution) -> ExecutionOutcome | None:
    """Return the outcome that an execution has left in its directory, unless the scheduler knows better."""
    try:
        outcome = ExecutionDirectory(execution.directory).read_outcome()
    except (OSError, UnreadableDocumentError):
        return None  # who settles it reads it again, and tells what is wrong
    return None if outcome is None or ended_with_its_job(outcome) else outcome


def is_quiet(execution: Execution, delay_seconds: float) -> bool:
    """Whether an execution has had its last word, or given no sign of life that would show by now."""
    directory, now = ExecutionDirectory(execution.directory), time.monotonic()
    if directory.has_outcome():
        return True
    sequence = directory.last_telemetry().sequence
    if sequence != execution.pulse:
        execution.pulse, execution.pulse_at = sequence, now
    return now - execution.pulse_at > quiet_seconds(directory, delay_seconds)


def is_silent(execution: ExecutionDirectory, delay_seconds: float) -> bool:
    """Whether an execution has had its last word, or its last sign of life is old, shown with this delay at most."""
    return execution.has_outcome() or execution.silence_seconds() > quiet_seconds(execution, delay_seconds)


def death_of(job: Job, scheduler: str) -> Death:
    """Return why a job that is over has ended, in the scheduler's words."""
    record = job.record
    if record is None:
        return Death(kind=FailureKind.WORKER_LOST, message=f"{scheduler} job {job.job_id} is gone.")
    where = f" on {record.node}" if record.node else ""
    words = record.words or "nothing is known of its end"
    return Death(
        kind=record.kind or FailureKind.WORKER_LOST,
        message=f"{scheduler} job {job.job_id} ended{where} before the execution did: {words}.",
        meta=meta_of(job),
    )


def death_of_waiting(jobs: Iterable[Job], scheduler: str, limit: timedelta) -> Death:
    """Return why an execution ends that no job has taken within a limit."""
    words = "; ".join(f"job {job.job_id}: {job.record.words}" for job in jobs if job.record)
    return Death(
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
    if math.isfinite(job.ends_at):  # what its pilot told; the scheduler knows better, but may not have been asked yet
        wait_seconds = job.ends_at - job.size.walltime_seconds - job.submitted
        meta["queue_wait_seconds"] = round(max(0.0, wait_seconds), 1)
    record = job.record
    if record is not None:
        if record.node:
            meta["node"] = record.node
        if record.queue_wait_seconds is not None:
            meta["queue_wait_seconds"] = record.queue_wait_seconds
        meta |= record.meta
    return meta

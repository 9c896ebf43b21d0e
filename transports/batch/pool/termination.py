"""Messages that say why a job or an execution in it has ended or never started; the job's data for the telemetry."""

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from pydantic import JsonValue

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.batch.pool.pool_actions import StartFailed
from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of, shortened
from climate_ref_prefect.transports.port import Termination

CANCELLED_BEFORE_START: Final = Termination(kind=FailureKind.CANCELLED, message="Cancelled before it had started.")
"""Why an execution has ended that was cancelled while it waited for a job."""
STARTED_TOO_LATE: Final = Termination(
    kind=FailureKind.UNAVAILABLE, message="it took longer to start than `walltime_margin` allows."
)
"""Why a job has no time left for any execution."""
_LAST_LINES: Final = 3


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


def termination_by_refusal(job: Job, words: str) -> Termination:
    """Return why executions of a size are given up whose job the scheduler refused with these words."""
    message = f"{job.scheduler} refused a job of {job.size.label}: {words}"
    return Termination(kind=FailureKind.SUBMISSION_REFUSED, message=message)


def termination_by_endless_wait(job: Job) -> Termination:
    """Return why executions of a size are given up whose job the scheduler will never start."""
    words = job.record.words if job.record else ""
    message = f"{job.scheduler} will never start job {job.job_id} of {job.size.label}: {words}"
    return Termination(kind=FailureKind.SUBMISSION_REFUSED, message=message)


def termination_before_start(job: Job, output: str | None) -> Termination:
    """Return why a job has ended before its worker connected, with the last lines of its output where it was found."""
    record = job.record
    words = f"it ended before its worker had connected: {record.words if record else ''}."
    if output is not None:
        said = shortened(" / ".join(lines_of(output)[-_LAST_LINES:])) or "nothing"
        words += f" Its last output: {said}."
    number = job.job_id.partition(";")[0]
    words += f" Its output is in the transport's directory `logs`, in the file with {number} in its name."
    return Termination(kind=record.kind if record and record.kind else FailureKind.UNAVAILABLE, message=words)


def termination_by_failed_starts(failed: StartFailed, scheduler: str, number: int) -> Termination:
    """Return why executions of a size are given up of which so many jobs in a row ended for causes of their own."""
    jobs = f"{number} {scheduler} jobs of {failed.size.label}"
    message = f"{jobs} in a row ended before running anything. {_last_of(failed)}"
    return Termination(kind=failed.cause.kind, message=message)


def termination_by_lost_starts(failed: StartFailed, scheduler: str, seconds: float) -> Termination:
    """Return why executions of a size are given up of which each job was lost for so long while it started."""
    message = f"No {scheduler} job of {failed.size.label} has started for {seconds:g} s. {_last_of(failed)}"
    return Termination(kind=FailureKind.UNAVAILABLE, message=message)


def termination_by_failed_submissions(scheduler: str, error: Exception) -> Termination:
    """Return why executions of a size are given up of which the scheduler has accepted no job for too long."""
    return Termination(kind=FailureKind.UNAVAILABLE, message=f"{scheduler} did not accept a job: {error}")


def _last_of(failed: StartFailed) -> str:
    return f"The last, {failed.job_id}: {failed.cause.message}"


def is_explained_by_job(outcome: ExecutionOutcome) -> bool:
    """Return whether an outcome says only that the job or its worker was lost: the scheduler knows the reason."""
    return outcome.failure is not None and FAILURE_RULES[outcome.failure.kind].backend_knows_why


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

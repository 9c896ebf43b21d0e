"""Jobs, executions and records to decide about."""

import dataclasses
import itertools
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, Telemetry
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord, SchedulerJobState
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Submission

SIZE = JobSize(cpu=8, memory_mb=1100, walltime_seconds=3600, queue=None)
OTHER_SIZE = JobSize(cpu=2, memory_mb=600, walltime_seconds=3600, queue="long")
HEADROOM_MB = 100
NOW = 1000.0
ADDRESS = "tls://node1:1"
OTHER_ADDRESS = "tls://node2:2"
ONE, TWO = Path("/scratch/one"), Path("/scratch/two")
HINT = ResourceHint(cpu=1, memory_mb=100, wall_clock=timedelta(seconds=60))
numbers = itertools.count()

PENDING = JobRecord(job_id="7", state=SchedulerJobState.PENDING, words="PENDING (Priority)")
NEVER = JobRecord(job_id="7", state=SchedulerJobState.PENDING, words="PENDING (PartitionConfig)", never=True)
RUNNING = JobRecord(job_id="7", state=SchedulerJobState.RUNNING, words="RUNNING", node="node1")
FAILED = JobRecord(job_id="7", state=SchedulerJobState.ENDED, words="FAILED", node="node1")
NODE_FAIL = JobRecord(
    job_id="7",
    state=SchedulerJobState.ENDED,
    words="NODE_FAIL",
    kind=FailureKind.WORKER_LOST,
    confirmed=False,
    node="node1",
)
CANCELLED = JobRecord(
    job_id="7", state=SchedulerJobState.ENDED, words="CANCELLED by 1000", kind=FailureKind.WORKER_LOST
)
PREEMPTED = JobRecord(job_id="7", state=SchedulerJobState.ENDED, words="PREEMPTED", kind=FailureKind.WORKER_LOST)
OUT_OF_MEMORY = JobRecord(
    job_id="7", state=SchedulerJobState.ENDED, words="OUT_OF_MEMORY", kind=FailureKind.OUT_OF_MEMORY
)
TIMEOUT = JobRecord(job_id="7", state=SchedulerJobState.ENDED, words="TIMEOUT", kind=FailureKind.TIMEOUT)
UNKNOWN = JobRecord(job_id="7", state=SchedulerJobState.UNKNOWN, words="Unknown Job Id 7", confirmed=False)


def job(state: JobState, *running: Path, **changed: Any) -> Job:
    """Return a job in a state, as it is there, with executions running in it."""
    made: dict[str, Any] = {
        "name": f"job-{next(numbers)}",
        "size": SIZE,
        "scheduler": "SLURM",
        "submitted_at": NOW - 100,
        "state": state,
        "since": NOW - 1,
        "idle_since": NOW - 1,
        "job_id": "" if state in (JobState.SUBMITTING, JobState.IN_DOUBT, JobState.MISSING, JobState.ARRIVED) else "7",
        "executions": dict.fromkeys(running, HINT),
        "given": len(running),
    }
    if state not in (JobState.SUBMITTING, JobState.IN_DOUBT, JobState.MISSING, JobState.QUEUED):
        made |= {"address": ADDRESS, "connected_at": NOW - 50, "ends_at": NOW + 3000}
    if state is JobState.RESTARTED:
        made["requeued"] = True
    return Job(**{**made, **changed})


def execution(
    cpu: int = 1, memory_mb: int = 100, seconds: float = 60.0, size: JobSize = SIZE, **changed: Any
) -> Execution:
    """Return an execution that waits, submitted after all that were made before it."""
    number = next(numbers)
    made: dict[str, Any] = {
        "submission": Submission(transport="slurm", directory=Path(f"/scratch/{number}")),
        "size": size,
        "resources": ResourceHint(cpu=cpu, memory_mb=memory_mb, wall_clock=timedelta(seconds=seconds)),
        "submitted_at": float(number) / 1000,
    }
    return Execution(**{**made, **changed})


def holding(one: Job, *executions: Execution) -> Job:
    """Return a job with executions running in it."""
    held: Mapping[Path, ResourceHint] = {each.directory: each.resources for each in executions}
    return dataclasses.replace(one, executions={**one.executions, **held}, given=one.given + len(held))


def outcome(kind: FailureKind | None = None) -> ExecutionOutcome:
    """Return an outcome: a success, or a failure of a kind."""
    failure = ExecutionFailure(kind=kind, message=f"it was {kind}") if kind else None
    return ExecutionOutcome(execution_id=1, failure=failure, telemetry=Telemetry())

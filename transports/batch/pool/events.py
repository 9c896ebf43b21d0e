"""Events of a batch job, and the actions that follow: frozen types, which can be compared and listed in tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Submission, Termination


@dataclass(frozen=True)
class Submitted:
    """The scheduler has accepted the job."""

    job_id: str


@dataclass(frozen=True)
class Refused:
    """The scheduler will never accept such a job."""

    words: str


@dataclass(frozen=True)
class NotTaken:
    """The scheduler has answered that it does not accept the job now. It may accept it later."""


@dataclass(frozen=True)
class NoAnswer:
    """The submission was not answered, or the answer contains no id. The job may exist."""


@dataclass(frozen=True)
class Found:
    """A job whose id was not known was found by its mark."""

    job_id: str


@dataclass(frozen=True)
class NotFound:
    """The scheduler has listed its jobs, and none has this mark."""


@dataclass(frozen=True)
class DoubtExpired:
    """The scheduler has not told of its jobs for so long that this one is not waited for any longer."""


@dataclass(frozen=True)
class Connected:
    """A worker in the job has connected."""

    address: str
    age_seconds: float = 0.0
    """Time since the job started."""


@dataclass(frozen=True)
class Disconnected:
    """The connection to a worker in the job is lost."""

    address: str


@dataclass(frozen=True)
class Polled:
    """The scheduler has reported on the job."""

    record: JobRecord
    asked_at: float
    """When it was asked, by the monotonic clock. A message of a worker may be newer than the answer."""
    output: str | None = None
    """The end of the job's output if the job is over; None if no output was found."""


@dataclass(frozen=True)
class ExecutionStarted:
    """The job's worker was given an execution."""

    directory: Path
    resources: ResourceHint


@dataclass(frozen=True)
class ExecutionEnded:
    """An execution in the job has left an outcome."""

    directory: Path
    out_of_memory: bool = False


@dataclass(frozen=True)
class Quiet:
    """No execution in the job has sent a heartbeat for some time."""


@dataclass(frozen=True)
class Drain:
    """The job must take no further execution, and end when it is idle."""


@dataclass(frozen=True)
class CancelRequested:
    """The job must be cancelled, even if executions run in it."""


@dataclass(frozen=True)
class CancelAnswered:
    """The scheduler has answered the request to cancel the job, or failed to do so with this error."""

    error: str | None = None


Event: TypeAlias = (
    Submitted
    | Refused
    | NotTaken
    | NoAnswer
    | Found
    | NotFound
    | DoubtExpired
    | Connected
    | Disconnected
    | Polled
    | ExecutionStarted
    | ExecutionEnded
    | Quiet
    | Drain
    | CancelRequested
    | CancelAnswered
)


@dataclass(frozen=True)
class SubmitJob:
    """Submit a new job, whose worker will connect under this name."""

    name: str
    size: JobSize


@dataclass(frozen=True)
class CancelJob:
    """Have the scheduler cancel a job."""

    name: str
    job_id: str


@dataclass(frozen=True)
class CloseWorker:
    """Have a worker exit in which no awaited execution runs."""

    address: str


@dataclass(frozen=True)
class StartExecution:
    """Have a worker run an execution."""

    address: str
    directory: Path


@dataclass(frozen=True)
class StopExecution:
    """Have a worker stop an execution."""

    address: str
    directory: Path


@dataclass(frozen=True)
class EndExecutions:
    """Report that executions have ended with the job that they ran in."""

    directories: tuple[Path, ...]
    cause: Termination


@dataclass(frozen=True)
class RejectSize:
    """Give up jobs of a size, because the scheduler refuses them or will never start them."""

    size: JobSize
    cause: Termination


@dataclass(frozen=True)
class StartFailed:
    """Record that a job ended before it ran anything."""

    size: JobSize
    job_id: str
    cause: Termination
    own_fault: bool
    """Whether the cause lies in the job itself, so that other jobs of its size would fail in the same way."""


@dataclass(frozen=True)
class Warn:
    """Log a warning."""

    words: str


@dataclass(frozen=True)
class ReportEnd:
    """Report to the submitter that an execution has ended."""

    submission: Submission
    outcome: ExecutionOutcome | None = None
    """The outcome, if its worker returned it or it was found in the execution's directory."""
    cause: Termination | None = None
    """The reason, if it ended without an outcome."""
    started: bool = True
    """Whether it was ever given to a worker. If not, no file of it has to be awaited."""
    meta: Mapping[str, JsonValue] = field(default_factory=dict)
    """Information about its job for the telemetry."""


JobAction: TypeAlias = CancelJob | CloseWorker | EndExecutions | RejectSize | StartFailed | Warn
"""An action that a transition of a job requests."""

PoolAction: TypeAlias = SubmitJob | CancelJob | CloseWorker | StartExecution | StopExecution | ReportEnd | Warn
"""An action that the pool requests: a command to the scheduler, a call of a worker, a log message or a report."""

"""What a job hears and what is to be done about it: frozen types, which can be compared and written in tables."""

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
    """The scheduler has taken the job."""

    job_id: str


@dataclass(frozen=True)
class Refused:
    """The scheduler will never take a job like this."""

    words: str


@dataclass(frozen=True)
class NotTaken:
    """The scheduler has not taken the job, and says so; later it may."""


@dataclass(frozen=True)
class NoAnswer:
    """The submission was not answered, or the answer has no id in it: the job may exist."""


@dataclass(frozen=True)
class Found:
    """A job whose id was not known was found by its mark."""

    job_id: str


@dataclass(frozen=True)
class NotFound:
    """The scheduler has told of its jobs, and none has this mark."""


@dataclass(frozen=True)
class Connected:
    """A worker in the job has connected."""

    address: str
    age_seconds: float = 0.0
    """Time since the job started."""


@dataclass(frozen=True)
class Disconnected:
    """The connection to a worker in the job is gone."""

    address: str


@dataclass(frozen=True)
class Polled:
    """The scheduler has told of the job."""

    record: JobRecord
    asked_at: float
    """When it was asked, by the monotonic clock: the answer may be older than what a worker has told since."""
    output: str | None = None
    """The end of what the job has printed, for one that is over; none where no output of it was found."""


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
    """Nothing that runs in the job has given a sign of life for some heartbeats."""


@dataclass(frozen=True)
class Drain:
    """The job is to take nothing more, and to end when nothing runs in it."""


@dataclass(frozen=True)
class CancelRequested:
    """The job is to be ended, whatever runs in it."""


@dataclass(frozen=True)
class CancelAnswered:
    """The scheduler has answered that it was told to end the job; or has not, and here is why."""

    error: str | None = None


Event: TypeAlias = (
    Submitted
    | Refused
    | NotTaken
    | NoAnswer
    | Found
    | NotFound
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
    """Have the scheduler take a new job, whose worker will connect by this name."""

    name: str
    size: JobSize


@dataclass(frozen=True)
class CancelJob:
    """Have the scheduler end a job."""

    name: str
    job_id: str


@dataclass(frozen=True)
class CloseWorker:
    """Have a worker end in which nothing runs that is waited for."""

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
    """Run nothing in jobs of a size any more: the scheduler refuses them, or will never start them."""

    size: JobSize
    cause: Termination


@dataclass(frozen=True)
class StartFailed:
    """Take note of a job that ended before it ran anything."""

    size: JobSize
    job_id: str
    cause: Termination
    own_fault: bool
    """Whether the cause lies in the job itself, so that others of its size would meet it, too."""


@dataclass(frozen=True)
class Warn:
    """Tell people, in the log."""

    words: str


@dataclass(frozen=True)
class ReportEnd:
    """Tell whoever submitted an execution that it has ended."""

    submission: Submission
    outcome: ExecutionOutcome | None = None
    """Where its worker could bring it back, or it was found in the execution's directory."""
    cause: Termination | None = None
    """Why it ended without an outcome."""
    started: bool = True
    """Whether it was ever given to a worker: no file of one that was not is waited for."""
    meta: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the telemetry tells of its job."""


JobAction: TypeAlias = CancelJob | CloseWorker | EndExecutions | RejectSize | StartFailed | Warn
"""What the transition of a job asks for."""

PoolAction: TypeAlias = SubmitJob | CancelJob | CloseWorker | StartExecution | StopExecution | ReportEnd | Warn
"""What the pool asks for: commands to the scheduler, calls of workers, and news for people and whoever waits."""

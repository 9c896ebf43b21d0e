"""Events of a batch job: frozen types, which can be compared and listed in tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord


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

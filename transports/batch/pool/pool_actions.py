"""Actions that a batch job or its pool asks for: scheduler commands, calls of workers and reports, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.port import Submission, Termination


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

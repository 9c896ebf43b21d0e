"""What batch schedulers have in common: jobs that are submitted, looked at and cancelled by commands."""

import subprocess
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from pydantic import Field, JsonValue

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.environment_variables import environment_of_scheduler

COMMAND_SECONDS: Final = 60.0
"""A command of the scheduler that takes longer is taken for a scheduler that does not answer."""


class DaskJobQueue(NamedTuple):
    """Names of the classes that make Dask clusters and job scripts of a scheduler; imported when jobs are needed."""

    module: str
    """For example `dask_jobqueue.lsf`."""
    cluster: str
    """A subclass of dask-jobqueue's `JobQueueCluster`."""
    job: str
    """A subclass of dask-jobqueue's `Job`."""


class JobVariables(NamedTuple):
    """Environment variables by which a scheduler tells a job who it is; of several, the first that is set counts."""

    job_id: tuple[str, ...]
    """Its id, as `BatchScheduler.look` takes it: by it recovery asks whether an execution has ended with its job."""
    node: tuple[str, ...] = ()
    """Name of the node, as the scheduler has it."""


class SchedulerSilentError(ClimateRefPrefectError):
    """The scheduler does not answer now; asked later, it may."""


class SubmissionLimitError(SchedulerSilentError):
    """The scheduler takes no more jobs of this user for now, in its own words; it will when some have ended."""


class SubmissionInDoubtError(SchedulerSilentError):
    """The scheduler may have taken a job: its answer was lost, or nobody knows what its words mean."""


class UnreadAnswerError(SubmissionInDoubtError):
    """The scheduler has taken a job, and what it printed has no number of it; the message shows what that was."""


class JobRefusedError(ClimateRefPrefectError):
    """The scheduler will not take this job, now or later; the message has its own words."""


class JobState(StrEnum):
    """Where a job is in its life."""

    PENDING = "pending"
    """Waits in the queue, for whatever reason."""
    RUNNING = "running"
    """Has started and is not over: also suspended, or ending."""
    ENDED = "ended"
    """Over: no process of it is left."""
    UNKNOWN = "unknown"
    """The scheduler knows no such job (any more): it is over, nobody can say how."""


class JobRecord(FrozenModel):
    """What the scheduler says of one job."""

    job_id: str
    state: JobState
    kind: FailureKind | None = None
    """Why it ended, where that is a cause of its own; none while it lives, or where it ended by itself."""

    words: str = ""
    """The scheduler's own words: state and reason while it waits, state, reason and exit code at the end."""

    confirmed: bool = True
    """Whether a job that is over has no processes left: of a node that does not answer, nobody knows."""

    never: bool = False
    """Whether it waits for what cannot come."""

    node: str = ""
    """Where it runs or ran."""

    queue_wait_seconds: float | None = Field(default=None, ge=0)
    """Time from its submission to its start."""

    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """What the scheduler has measured, for the telemetry: `job_peak_rss_mb`, `job_cpu_seconds`, `job_wall_seconds`."""

    @property
    def over(self) -> bool:
        """Whether no process of the job can be left."""
        return self.state in (JobState.ENDED, JobState.UNKNOWN)


class BatchScheduler(Protocol):
    """The commands of one kind of scheduler. All of them raise `SchedulerSilentError` where it does not answer."""

    @property
    def name(self) -> str:
        """Name for people: `SLURM`, `PBS`."""
        ...

    @property
    def programs(self) -> Sequence[str]:
        """The programs that must be on PATH."""
        ...

    def submit(self, script: Path) -> str:
        """
        Submit a job script and return the id of the job.

        Raises
        ------
        JobRefusedError
            If the scheduler will never take it: unknown queue or account, too large, not allowed.
        SubmissionLimitError
            If the user has as many jobs as are allowed.
        SchedulerSilentError
            If it is not able to take any job now.
        SubmissionInDoubtError
            If it does not answer, or says what is not known to mean that there is no job.
        UnreadAnswerError
            If there is a job, and its number could not be found in what was printed.
        """
        ...

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        """Return what the scheduler says of each of these jobs, in one question where it can be."""
        ...

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Have jobs ended, whether they wait or run; those that are over already are no error."""
        ...

    def mark_in(self, script: Path) -> str:
        """Return the mark that a job script gives its job; empty where it has none."""
        ...

    def marked_jobs(self) -> dict[str, str]:
        """
        Return the mark of each job of this user that has one and is not over, by the job's id.

        A job whose submission was not answered is found by it, and so are the jobs of a coordinator that is gone.
        """
        ...

    def ping(self) -> str:
        """Return the scheduler's version, as it says it; for `doctor`."""
        ...


def run_command(
    *command: str, stdin: str | None = None, left_out: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """
    Run a command of the scheduler, in English, and return how it ended, whatever its exit code.

    Parameters
    ----------
    command
        Program and arguments.
    stdin
        What it reads; none for nothing.
    left_out
        Environment variables that the command must not see, beside those of the table in
        `docs/reference/environment.md`; `*` stands for anything, as in `LSB_*`.

    Raises
    ------
    SchedulerSilentError
        If it does not end within `COMMAND_SECONDS`, or is not there.
    """
    try:
        return subprocess.run(  # noqa: S603 - the scheduler's commands, with ids that it gave
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=COMMAND_SECONDS,
            check=False,
            env=environment_of_scheduler(left_out),
            process_group=0,  # Ctrl-C is for us: a submission that it cuts off may have been heard all the same
        )
    except subprocess.TimeoutExpired as error:
        raise SchedulerSilentError(f"`{command[0]}` has not answered for {COMMAND_SECONDS:g} s.") from error
    except OSError as error:
        raise SchedulerSilentError(f"`{command[0]}` could not be started: {error}.") from error

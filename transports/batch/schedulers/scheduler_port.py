"""The interface of batch schedulers: jobs are submitted, queried and cancelled by commands."""

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
"""If a command of the scheduler takes longer, the scheduler counts as not answering."""


class DaskJobQueue(NamedTuple):
    """Names of the classes that make Dask clusters and job scripts of a scheduler; imported when jobs are needed."""

    module: str
    """For example `dask_jobqueue.lsf`."""
    cluster: str
    """A subclass of dask-jobqueue's `JobQueueCluster`."""
    job: str
    """A subclass of dask-jobqueue's `Job`."""


class JobVariables(NamedTuple):
    """Environment variables that identify a job to itself. Of several, the first that is set counts."""

    job_id: tuple[str, ...]
    """Its id, as `BatchScheduler.look` takes it. Recovery uses it to ask whether the job of an execution has ended."""
    node: tuple[str, ...] = ()
    """Name of the node, as the scheduler gives it."""


class SchedulerSilentError(ClimateRefPrefectError):
    """The scheduler does not answer now. It may answer later."""


class SubmissionLimitError(SchedulerSilentError):
    """The scheduler accepts no more jobs of this user until some have ended. The message is its own."""


class SubmissionInDoubtError(SchedulerSilentError):
    """The scheduler may have accepted a job, because its answer was lost or its meaning is unknown."""


class UnreadAnswerError(SubmissionInDoubtError):
    """The scheduler has accepted a job and printed no id of it. The message shows what it printed."""


class JobRefusedError(ClimateRefPrefectError):
    """The scheduler will not accept this job, now or later. The message is its own."""


class SchedulerJobState(StrEnum):
    """The state of a job as the scheduler reports it."""

    PENDING = "pending"
    """It waits in the queue, for any reason."""
    RUNNING = "running"
    """It has started and is not over; it may be suspended or ending."""
    ENDED = "ended"
    """It is over."""
    UNKNOWN = "unknown"
    """The scheduler does not know the job (any more): it is over, and the reason is not known."""


class JobRecord(FrozenModel):
    """The scheduler's record of a job."""

    job_id: str
    state: SchedulerJobState
    kind: FailureKind | None = None
    """The failure kind if the scheduler or the node ended it; None while it runs, or if it ended by itself."""

    words: str = ""
    """The scheduler's own words: state and reason while it waits; state, reason and exit code at the end."""

    confirmed: bool = True
    """Whether a job that is over is known to have no processes left. It is not known of a node that does not answer."""

    never: bool = False
    """Whether it can never start."""

    node: str = ""
    """The node on which it runs or ran."""

    queue_wait_seconds: float | None = Field(default=None, ge=0)
    """Time from its submission to its start."""

    meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Measurements of the scheduler for the telemetry: `job_peak_rss_mb`, `job_cpu_seconds`, `job_wall_seconds`."""

    @property
    def over(self) -> bool:
        """Whether the scheduler runs the job no more; `confirmed` says whether a process of it can be left."""
        return self.state in (SchedulerJobState.ENDED, SchedulerJobState.UNKNOWN)


class BatchScheduler(Protocol):
    """The commands of one kind of scheduler. All of them raise `SchedulerSilentError` if it does not answer."""

    @property
    def name(self) -> str:
        """Name for messages: `SLURM`, `PBS`."""
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
            If the scheduler will never accept it: unknown queue or account, too large, not allowed.
        SubmissionLimitError
            If the user has as many jobs as are allowed.
        SchedulerSilentError
            If it cannot accept any job now.
        SubmissionInDoubtError
            If it does not answer, or its message does not make clear that there is no job.
        UnreadAnswerError
            If there is a job, and its id could not be found in the output.
        """
        ...

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        """
        Return the scheduler's records of these jobs, from a single query if possible.

        A job about which the answer says nothing is left out, and asked about again. A job that the scheduler says it
        does not know is `SchedulerJobState.UNKNOWN`, with `confirmed=False`: what it ran may go on.
        """
        ...

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs, whether they wait or run. Jobs that are over are ignored."""
        ...

    def mark_in(self, script: Path) -> str:
        """Return the mark that a job script gives its job, as `BatchSite.sized` wrote it; empty if it has none."""
        ...

    def marked_jobs(self) -> dict[str, str]:
        """
        Return the mark of each job of this user that has one and is not over, by the job's id.

        It identifies a job whose submission was not answered, and the jobs of a coordinator that has ended.
        """
        ...

    def ping(self) -> str:
        """Return the scheduler's version, in its own words, for `doctor`."""
        ...


def run_submission(
    *command: str, stdin: str | None = None, left_out: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """
    Run the command that submits a job, as `run_command` does.

    Raises
    ------
    SubmissionInDoubtError
        If it is not answered: the scheduler may have heard it, so the job is looked for by its mark.
    """
    try:
        return run_command(*command, stdin=stdin, left_out=left_out)
    except SchedulerSilentError as error:
        raise SubmissionInDoubtError(str(error)) from error


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
            process_group=0,  # Ctrl-C must not end a submission that may have arrived
        )
    except subprocess.TimeoutExpired as error:
        raise SchedulerSilentError(f"`{command[0]}` has not answered for {COMMAND_SECONDS:g} s.") from error
    except OSError as error:
        raise SchedulerSilentError(f"`{command[0]}` could not be started: {error}.") from error

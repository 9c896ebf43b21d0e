"""`lsf`: executions in jobs of IBM Spectrum LSF, in the one file that a scheduler takes."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of, shortened
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    BatchScheduler,
    DaskJobQueue,
    JobRecord,
    JobRefusedError,
    JobVariables,
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionInDoubtError,
    UnreadAnswerError,
    run_command,
    run_submission,
)
from climate_ref_prefect.transports.batch.settings.job_script_quoting import directive
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

MARK: Final = "-Jd climate-ref-prefect-"
OVERRULING: Final = ("LSB_*", "BSUB_*")
"""What a user's shell may say to LSF's commands, instead of the job script."""
_STATES: Final = {
    **dict.fromkeys(("PEND", "PSUSP"), SchedulerJobState.PENDING),
    **dict.fromkeys(("DONE", "EXIT"), SchedulerJobState.ENDED),
}
_CAUSES: Final = {"TERM_RUNLIMIT": FailureKind.TIMEOUT, "TERM_MEMLIMIT": FailureKind.OUT_OF_MEMORY}


class LsfCommands:
    """`bsub`, `bjobs` and `bkill`."""

    name = "LSF"
    programs = ("bsub", "bjobs", "bkill")

    def submit(self, script: Path) -> str:
        ended = run_submission("bsub", stdin=script.read_text(encoding="utf-8"), left_out=OVERRULING)
        if ended.returncode:
            words = shortened(ended.stderr.strip())
            raise JobRefusedError(words) if "No such queue" in words else SubmissionInDoubtError(words)
        found = re.search(r"Job <(\d+)> is submitted", ended.stdout)
        if not found:
            raise UnreadAnswerError(f"`bsub` has ended well and printed no job id: {ended.stdout}")
        return found[1]

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        ended = self._run("bjobs", "-a", "-json", "-o", "jobid stat exit_reason exec_host", *job_ids)
        if ended.returncode and not ended.stdout:
            raise SchedulerSilentError(shortened(ended.stderr.strip()))
        rows = {row["JOBID"]: row for row in json.loads(ended.stdout)["RECORDS"]}
        return {job_id: _record(job_id, rows.get(job_id)) for job_id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        if job_ids:
            self._run("bkill", *job_ids)

    def mark_in(self, script: Path) -> str:
        found = re.search(rf"{MARK}([\w-]+)", script.read_text(encoding="utf-8"))
        return found[1] if found else ""

    def marked_jobs(self) -> dict[str, str]:
        ended = self._run("bjobs", "-json", "-o", "jobid job_description")
        rows = json.loads(ended.stdout)["RECORDS"]
        of_ours = MARK.partition(" ")[2]
        return {
            row["JOBID"]: row["JOB_DESCRIPTION"].removeprefix(of_ours)
            for row in rows
            if row["JOB_DESCRIPTION"].startswith(of_ours)
        }

    def ping(self) -> str:
        return lines_of(self._run("bsub", "-V").stderr)[0]

    def _run(self, *command: str) -> Any:
        return run_command(*command, left_out=OVERRULING)


def _record(job_id: str, row: Mapping[str, str] | None) -> JobRecord:
    if row is None:
        return JobRecord(job_id=job_id, state=SchedulerJobState.UNKNOWN, confirmed=False)
    state = _STATES.get(row["STAT"], SchedulerJobState.RUNNING)
    reason = row["EXIT_REASON"]
    cause = next((kind for word, kind in _CAUSES.items() if word in reason), None)
    if cause is None and reason:
        cause = FailureKind.WORKER_LOST
    words = f"{row['STAT']} {reason}".strip()
    kind = cause if state is SchedulerJobState.ENDED else None
    return JobRecord(job_id=job_id, state=state, kind=kind, words=words, node=row["EXEC_HOST"])


class LsfTransport(BatchTransport):
    """Jobs of LSF, started by `bsub` on this machine."""

    kind: Literal["lsf"] = "lsf"
    dask_jobqueue: ClassVar[DaskJobQueue] = DaskJobQueue("dask_jobqueue.lsf", "LSFCluster", "LSFJob")
    job_variables: ClassVar[JobVariables] = JobVariables(job_id=("LSB_JOBID",), node=("LSB_HOST", "HOSTNAME"))

    @classmethod
    def check_path(cls, path: str) -> str:
        if "%" in path:
            raise ValueError(f"{path} has a `%`, which LSF replaces")
        return path

    def commands(self, *, patient: bool = True) -> BatchScheduler:
        return LsfCommands()

    def sized(self, size: JobSize) -> dict[str, Any]:
        output = directive(f"-o {self.log_directory}/%J.log")
        return {
            "queue": size.queue,
            "project": self.account,
            "ncpus": size.cpu,
            "mem": size.memory_mb * 1000**2,
            "lsf_units": "mb",
            "walltime": size.walltime.rpartition(":")[0],
            "use_stdin": True,
            "job_extra_directives": [output, f"{MARK}{self.new_mark()}", "-rn", *self.directives],
        }

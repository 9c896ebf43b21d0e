"""OpenPBS and PBS Professional, through `qsub`, `qstat` and `qdel`."""

import getpass
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of, shortened
from climate_ref_prefect.transports.batch.schedulers.pbs.output_parser import read_json, read_record
from climate_ref_prefect.transports.batch.schedulers.pbs.refusals import of_qsub
from climate_ref_prefect.transports.batch.schedulers.refusal_kinds import error_of
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SchedulerJobState,
    SchedulerSilentError,
    UnreadAnswerError,
    run_command,
    run_submission,
)

MARK: Final = "CLIMATE_REF_PREFECT_MARK"
"""Environment variable of a job that holds its mark, which no other job has."""
_MARK_IN_SCRIPT: Final = re.compile(rf"{MARK}=([\w-]+)")
_NO_HISTORY: Final = "not configured to maintain job history"
_NEEDS_HISTORY: Final = "Job has finished"
_UNKNOWN: Final = re.compile(r"Unknown Job Id\s+(\d+)")
_OVER: Final = re.compile(r"Unknown Job Id|Job has finished|Request invalid for state of job")
_JOB_ID: Final = re.compile(r"\d+(?:\[\])?(?:\.[\w.-]*[A-Za-z][\w.-]*)?")
_JOB_ID_OF_SERVER: Final = re.compile(r"\d+(?:\[\])?\.[A-Za-z][\w.-]*")


class PbsCommands:
    """A `BatchScheduler` for PBS. The first answer shows whether the site keeps a history of its jobs."""

    name = "PBS"
    programs = ("qsub", "qstat", "qdel", "qselect")

    def __init__(self) -> None:
        self._history = True

    def submit(self, script: Path) -> str:
        """Submit a job script with `qsub` and return the id of the job, for example `27.host`."""
        ended = run_submission("qsub", str(script))
        if ended.returncode:
            words = _words(ended, "qsub: ")
            raise error_of(of_qsub(ended.returncode, words), words)
        numbers = _job_ids(ended.stdout) or _job_ids(ended.stderr)
        if not numbers:
            told = shortened(" / ".join(lines_of(f"{ended.stdout}\n{ended.stderr}"))) or "nothing"
            raise UnreadAnswerError(
                f"`qsub` succeeded, but its output contains no job id: {told}. `qstat` shows whether the job exists."
            )
        return numbers[-1]

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        """Ask `qstat`. Finished jobs are unknown if no history is kept. Jobs without an answer are left out."""
        if not job_ids:
            return {}
        ended, jobs = self._ask(job_ids)
        known = {_number(job_id): job for job_id, job in jobs.items() if isinstance(job, Mapping)}
        unknown = set(_UNKNOWN.findall(ended.stderr))
        records = {
            job_id: read_record(job_id, known[_number(job_id)]) for job_id in job_ids if _number(job_id) in known
        }
        for job_id in job_ids:
            if _number(job_id) in unknown and job_id not in records:
                words = f"Unknown Job Id {job_id}"
                records[job_id] = JobRecord(
                    job_id=job_id, state=SchedulerJobState.UNKNOWN, words=words, confirmed=False
                )
        if not records:
            raise SchedulerSilentError(_words(ended))
        return records

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs: they get SIGTERM, and SIGKILL some seconds later."""
        if not job_ids:
            return
        ended = run_command("qdel", *job_ids)
        complaints = [line for line in ended.stderr.splitlines() if line.strip() and not _OVER.search(line)]
        if ended.returncode and (complaints or not _OVER.search(ended.stderr)):
            raise SchedulerSilentError(_words(ended))

    def mark_in(self, script: Path) -> str:
        """Return the mark in the variables of a job script; empty if there is none."""
        found = _MARK_IN_SCRIPT.search(script.read_text(encoding="utf-8", errors="surrogateescape"))
        return found[1] if found else ""

    def marked_jobs(self) -> dict[str, str]:
        """Ask `qselect` for the jobs of this user, and `qstat` for their variables."""
        ended = run_command("qselect", "-u", getpass.getuser())
        if ended.returncode:
            raise SchedulerSilentError(_words(ended))
        job_ids = _job_ids(ended.stdout)
        if not job_ids:
            return {}
        told, jobs = self._qstat(job_ids, history=False)
        if told.returncode and not jobs and not _OVER.search(told.stderr):
            raise SchedulerSilentError(_words(told))
        marks = {job_id: _mark_of(job) for job_id, job in jobs.items()}
        return {job_id: mark for job_id, mark in marks.items() if mark}

    def ping(self) -> str:
        """Return the version of the server."""
        ended = run_command("qstat", "-B", "-f", "-F", "json")
        servers = read_json(ended.stdout).get("Server")
        if ended.returncode or not servers:
            raise SchedulerSilentError(_words(ended))
        return str(next(iter(servers.values())).get("pbs_version", "unknown"))

    def _ask(self, job_ids: Iterable[str]) -> tuple[subprocess.CompletedProcess[str], Mapping[str, Any]]:
        ended, jobs = self._qstat(job_ids, history=self._history)
        without_history = _NO_HISTORY in ended.stderr or not (jobs or ended.returncode)
        if without_history if self._history else _NEEDS_HISTORY in ended.stderr:
            self._history = not self._history
            ended, jobs = self._qstat(job_ids, history=self._history)
        return ended, jobs

    def _qstat(
        self, job_ids: Iterable[str], *, history: bool
    ) -> tuple[subprocess.CompletedProcess[str], Mapping[str, Any]]:
        ended = run_command("qstat", *(["-x"] if history else []), "-f", "-F", "json", *job_ids)
        jobs = read_json(ended.stdout).get("Jobs")
        return ended, jobs if isinstance(jobs, Mapping) else {}


def _mark_of(job: object) -> str:
    variables = job.get("Variable_List") if isinstance(job, Mapping) else None
    return str(variables.get(MARK, "")) if isinstance(variables, Mapping) else ""


def _number(job_id: str) -> str:
    return job_id.partition(".")[0]


def _job_ids(printed: str) -> list[str]:
    lines = lines_of(printed)
    named = [line for line in lines if _JOB_ID_OF_SERVER.fullmatch(line)]
    return named or [line for line in lines if _JOB_ID.fullmatch(line)]


def _words(ended: subprocess.CompletedProcess[str], sign: str = "") -> str:
    """Return the message of a command: its errors, and its output if only that has the sign of its own messages."""
    told = ended.stdout if sign in ended.stdout and sign not in ended.stderr else ""
    words = " ".join(f"{told} {ended.stderr}".split()) or " ".join(ended.stdout.split())
    return shortened(words) or f"{ended.args[0]} has ended with code {ended.returncode} and printed nothing."

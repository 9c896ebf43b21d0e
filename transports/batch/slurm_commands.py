"""SLURM's commands: `sbatch`, `squeue`, `sacct`, `scancel`, and what their answers mean."""

import re
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.transports.batch.scheduler import (
    JobRecord,
    JobRefusedError,
    JobState,
    SchedulerSilentError,
    SubmissionLimitError,
    run_command,
)

_PENDING: Final = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
_ENDED: Final[Mapping[str, FailureKind | None]] = {
    "COMPLETED": None,
    "FAILED": None,
    "TIMEOUT": FailureKind.TIMEOUT,
    "DEADLINE": FailureKind.TIMEOUT,
    "OUT_OF_MEMORY": FailureKind.OUT_OF_MEMORY,
    "CANCELLED": FailureKind.WORKER_LOST,
    "NODE_FAIL": FailureKind.WORKER_LOST,
    "BOOT_FAIL": FailureKind.WORKER_LOST,
    "PREEMPTED": FailureKind.WORKER_LOST,
    "REVOKED": FailureKind.WORKER_LOST,
}
_NEVER: Final = (
    *("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints", "AccountNotAllowed"),
    *("InvalidAccount", "InvalidQOS", "QOSNotAllowed", "DependencyNeverSatisfied"),
)
"""Reasons to wait for what will not come (`man squeue`, JOB REASON CODES)."""
_UNCONFIRMED: Final = ("NODE_FAIL", "BOOT_FAIL")
_ACCOUNTS_SECONDS: Final = 5.0
MARK: Final = "--comment=climate-ref-prefect-"
"""Beginning of the directive that tells a job script from all others."""
_COMMENT: Final = MARK.partition("=")[2]
_LIMIT: Final = re.compile(r"violates accounting/QOS policy|job submit limit|MaxSubmitJob|MaxJobsPerUser", re.I)
_LATER: Final = re.compile(
    r"unable to contact|timed out|timeout|temporarily|try again|connection (refused|reset)|"
    r"zero bytes|communication|invalid credential|munge|job submission is disabled",
    re.I,
)
_NO_ACCOUNTING: Final = re.compile(r"accounting storage is disabled|slurmdbd|persistent connection|not running", re.I)
_SQUEUE: Final = "%i|%T|%r|%N|%V|%S"
_SACCT: Final = "JobID,State,ExitCode,MaxRSS,TotalCPU,ElapsedRaw,NodeList,Submit,Start"
_FACTORS_MB: Final = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}


class SlurmCommands:
    """
    The commands of the SLURM on this machine's PATH.

    Parameters
    ----------
    accounts_seconds
        How long `sacct` may take to show the end of a job.
    """

    name = "SLURM"
    programs = ("sbatch", "squeue", "scancel", "scontrol")

    def __init__(self, accounts_seconds: float = _ACCOUNTS_SECONDS) -> None:
        self._accounts_seconds = accounts_seconds
        self._accounts = True
        self._ends: dict[str, float] = {}
        self._doubtful: set[str] = set()

    def submit(self, script: Path) -> str:
        """Submit a job script with `sbatch`; raises as the protocol says."""
        try:
            done = run_command("sbatch", "--parsable", str(script))
        except SchedulerSilentError:
            self._doubt(script)
            raise
        if done.returncode == 0:
            return done.stdout.strip().partition(";")[0]
        words = _words(done.stderr)
        if _LIMIT.search(words):
            raise SubmissionLimitError(words)
        if not _LATER.search(words):
            raise JobRefusedError(words)
        self._doubt(script)
        raise SchedulerSilentError(words)

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        """Ask `squeue`, and `sacct` about what is over, where the site keeps accounts."""
        self._cancel_doubtful()
        queued = self._queue(job_ids)
        over = [job_id for job_id in job_ids if job_id not in queued or queued[job_id].over]
        accounts = self._account(over) if over else {}
        records = {}
        for job_id in job_ids:
            account, record = accounts.get(job_id), queued.get(job_id)
            if record is None:
                record = self._of_forgotten(job_id, account)
            elif account is not None and account.over:
                record = account.model_copy(update={"kind": account.kind or record.kind})
            elif record.over and self._is_awaited(job_id):
                record = record.model_copy(update={"state": JobState.RUNNING})
            records[job_id] = record
        return records

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs with `scancel`; those that are over are no error."""
        if job_ids:
            done = run_command("scancel", *job_ids)
            if done.returncode and "Invalid job id" not in done.stderr:
                raise SchedulerSilentError(_words(done.stderr))
        self._cancel_doubtful()

    def ping(self) -> str:
        """Return what `scontrol ping` and `sbatch --version` say."""
        version, answer = run_command("sbatch", "--version"), run_command("scontrol", "ping")
        if version.returncode or answer.returncode or "UP" not in answer.stdout:
            raise SchedulerSilentError(_words(version.stderr or answer.stderr or answer.stdout))
        return f"{version.stdout.strip()}; {answer.stdout.strip().splitlines()[0]}"

    def _doubt(self, script: Path) -> None:
        """Take note of a job that may have been heard of all the same, and be there later."""
        self._doubtful |= {
            line.partition(MARK)[2] for line in script.read_text(encoding="utf-8").splitlines() if MARK in line
        }

    def _cancel_doubtful(self) -> None:
        """End jobs that were submitted without an answer: another was submitted in place of each."""
        if not self._doubtful:
            return
        done = run_command("squeue", "--noheader", "--me", "--format=%i|%k")
        if done.returncode:
            return
        found = [line.partition("|") for line in done.stdout.splitlines()]
        marks = {job_id: comment.removeprefix(_COMMENT) for job_id, _, comment in found if comment.startswith(_COMMENT)}
        unwanted = {job_id: mark for job_id, mark in marks.items() if mark in self._doubtful}
        if unwanted and run_command("scancel", *unwanted).returncode == 0:
            self._doubtful -= set(unwanted.values())

    def _of_forgotten(self, job_id: str, account: JobRecord | None) -> JobRecord:
        """Return what the accounts say of a job that SLURM has forgotten; if that it runs, they have missed its end."""
        if account is not None and (account.over or self._is_awaited(job_id)):
            return account
        meta = account.meta if account else {}
        return JobRecord(job_id=job_id, state=JobState.UNKNOWN, confirmed=False, meta=meta)

    def _is_awaited(self, job_id: str) -> bool:
        """Whether the accounts may still tell of the end of a job."""
        ended = self._ends.setdefault(job_id, time.monotonic())
        return self._accounts and time.monotonic() - ended < self._accounts_seconds

    def _queue(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        # Of several ids those that are unknown are left out; a single one would be an error.
        done = run_command("squeue", "--noheader", "--states=all", f"--format={_SQUEUE}", f"--jobs={','.join(job_ids)}")
        if done.returncode:
            if "Invalid job id" in done.stderr:
                return {}
            raise SchedulerSilentError(_words(done.stderr))
        records = (_of_queue(line.split("|")) for line in done.stdout.splitlines() if line)
        return {record.job_id: record for record in records}

    def _account(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        self._accounts = self._accounts and shutil.which("sacct") is not None
        if not self._accounts:
            return {}
        done = run_command("sacct", "--noheader", "--parsable2", f"--format={_SACCT}", f"--jobs={','.join(job_ids)}")
        if done.returncode:
            self._accounts = _NO_ACCOUNTING.search(done.stderr) is None
            return {}
        rows: dict[str, list[list[str]]] = {}
        for line in done.stdout.splitlines():
            fields = line.split("|")
            rows.setdefault(fields[0].partition(".")[0], []).append(fields)
        return {job_id: _of_account(job_id, lines) for job_id, lines in rows.items()}


def _of_queue(fields: Sequence[str]) -> JobRecord:
    job_id, state, reason, node, submitted, started = fields
    record = _record(job_id, state, node, submitted, started)
    never = record.state is JobState.PENDING and reason.startswith(_NEVER)
    words = state if reason in ("None", "") else f"{state} ({reason})"
    return record.model_copy(update={"words": words, "never": never})


def _of_account(job_id: str, rows: Sequence[Sequence[str]]) -> JobRecord:
    _, state, exit_code, _, cpu, elapsed, node, submitted, started = rows[0]
    record = _record(job_id, state, node, submitted, started)
    peaks = [_megabytes(row[3]) for row in rows if row[3]]
    meta: dict[str, float | str] = {"job_state": state, "job_cpu_seconds": _seconds(cpu)}
    if elapsed.isdigit():
        meta["job_wall_seconds"] = int(elapsed)
    if peaks:
        meta["job_peak_rss_mb"] = max(peaks)
    return record.model_copy(update={"words": f"{state}, exit code {exit_code}", "meta": meta})


def _record(job_id: str, state: str, node: str, submitted: str, started: str) -> JobRecord:
    first = state.split(maxsplit=1)[0] if state else ""
    if first in _ENDED:
        where, kind = JobState.ENDED, _ENDED[first]
    else:
        where, kind = JobState.PENDING if first in _PENDING else JobState.RUNNING, None
    wait = _wait_seconds(submitted, started) if where is not JobState.PENDING else None
    node = "" if node.startswith("None") else node
    return JobRecord(
        job_id=job_id,
        state=where,
        kind=kind,
        words=state,
        node=node,
        queue_wait_seconds=wait,
        confirmed=first not in _UNCONFIRMED,
    )


def _wait_seconds(submitted: str, started: str) -> float | None:
    try:
        # Both are local times of the cluster.
        wait = datetime.fromisoformat(started) - datetime.fromisoformat(submitted)
    except ValueError:  # `N/A`, `Unknown`: it never started
        return None
    return max(0.0, wait.total_seconds())


def _megabytes(text: str) -> float:
    """Read a size as `sacct` writes it: `1234K`, `1.5G`."""
    unit = text[-1] if text[-1] in _FACTORS_MB else ""
    return round(float(text.removesuffix(unit)) * _FACTORS_MB[unit], 2)


def _seconds(text: str) -> float:
    """Read a time as `sacct` writes it: `1-02:03:04`, `02:03.456`."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = 60 * seconds + float(part or 0)
    return seconds + 86400 * int(days or 0)


def _words(stderr: str) -> str:
    """Return what a command said, without the names of programs before it."""
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line).strip() for line in stderr.splitlines()]
    return " ".join(line for line in lines if line) or "nothing was said"

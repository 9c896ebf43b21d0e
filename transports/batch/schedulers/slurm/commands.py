"""SLURM's commands: `sbatch`, `squeue`, `sacct`, `scancel`."""

import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of, shortened
from climate_ref_prefect.transports.batch.schedulers.refusal_kinds import Refusal, error_of
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SchedulerJobState,
    SchedulerSilentError,
    UnreadAnswerError,
    run_command,
    run_submission,
)
from climate_ref_prefect.transports.batch.schedulers.slurm.environment import overruled_variables
from climate_ref_prefect.transports.batch.schedulers.slurm.output_parser import (
    SACCT,
    SQUEUE,
    read_accounts,
    read_queue,
    submitted_numbers,
)
from climate_ref_prefect.transports.batch.schedulers.slurm.refusals import is_refused_by_sbatch, of_sbatch

_ACCOUNTS_SECONDS: Final = 5.0
MARK: Final = "--comment=climate-ref-prefect-"
"""Beginning of the directive that holds the mark of a job."""
_COMMENT: Final = MARK.partition("=")[2]
_MARK_IN_SCRIPT: Final = re.compile(re.escape(MARK) + r"([\w-]+)")
_NO_ACCOUNTING: Final = re.compile(r"accounting storage is disabled|not running a supported accounting", re.I)
"""Messages of a site without accounting. A database that is unavailable for a moment has other messages."""
_OVER: Final = re.compile(r"Invalid job id|already completing or completed", re.I)
_NO_ANSWER: Final = re.compile(
    r"slurm_load_jobs error: (?!invalid job id)|unable to contact|timed out|connection refused|not connected|"
    r"standby mode|zero bytes",
    re.I,
)
"""Messages of `squeue` after which a missing row does not mean that there is no job, whatever its exit code."""
_CLUSTER: Final = re.compile(r"CLUSTER: (\S+)")


class SlurmCommands:
    """
    The commands of the SLURM on this machine's PATH.

    A job on a cluster that `sbatch` has named is known as `4711;cm2`, and that cluster is asked about it.

    Parameters
    ----------
    accounts_seconds
        How long `sacct` may take to show the end of a job.
    clusters
        The clusters of jobs whose id names none, as for `--clusters`; None for
        the cluster of this machine, or what `SLURM_CLUSTERS` says.
    """

    name = "SLURM"
    programs = ("sbatch", "squeue", "scancel", "scontrol")

    def __init__(self, accounts_seconds: float = _ACCOUNTS_SECONDS, clusters: str = "") -> None:
        self._accounts_seconds = accounts_seconds
        self._clusters = clusters
        self._accounts = True
        self._ends: dict[str, float] = {}
        self._unread: set[str] = set()
        """Jobs whose rows in the last answer could not be read, so that they exist."""

    def submit(self, script: Path) -> str:
        """Submit a job script with `sbatch`. Raises the errors of `BatchScheduler.submit`."""
        done = run_submission("sbatch", "--parsable", str(script), left_out=overruled_variables(script))
        numbers = submitted_numbers(done.stdout)
        if done.returncode or (not numbers and is_refused_by_sbatch(f"{done.stdout}\n{done.stderr}")):
            raise self._refusal(done)
        if len(numbers) == 1:
            return numbers[0]
        numbers = numbers or submitted_numbers(done.stderr)
        return self._number_by_mark(script, numbers, f"{done.stdout}\n{done.stderr}")

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        """Ask `squeue`, and with accounting `sacct` about finished jobs. Jobs without an answer are left out."""
        self._unread = set()
        queued = self._by_cluster(job_ids, self._queue)
        job_ids = [job_id for job_id in job_ids if job_id not in self._unread]
        over = [job_id for job_id in job_ids if job_id not in queued or queued[job_id].over]
        accounts = self._by_cluster(over, self._account)
        records = {}
        for job_id in job_ids:
            account, record = accounts.get(job_id), queued.get(job_id)
            if record is None:
                record = self._of_forgotten(job_id, account)
            elif account is not None and account.over:
                record = account.model_copy(update={"kind": account.kind or record.kind})
            elif record.over and self._is_awaited(job_id):
                record = record.model_copy(update={"state": SchedulerJobState.RUNNING})
            records[job_id] = record
        return records

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs with `scancel`. Jobs that are over are ignored."""
        for cluster, chosen in self._grouped(job_ids).items():
            done = run_command("scancel", *cluster, *map(_number, chosen))
            others = [line for line in lines_of(done.stderr) if "error" in line.lower() and not _OVER.search(line)]
            if done.returncode and (others or not _OVER.search(done.stderr)):
                raise SchedulerSilentError(_words(done.stderr))

    def mark_in(self, script: Path) -> str:
        """Return the mark in `--comment` of a job script; empty if there is none."""
        return next(iter(_marks_in(script)), "")

    def marked_jobs(self) -> dict[str, str]:
        """Return the mark of each job of this user that has one of this package."""
        done = run_command("squeue", *_option(self._clusters), "--noheader", "--me", "--format=%i|%k")
        if done.returncode or _NO_ANSWER.search(done.stderr):
            raise SchedulerSilentError(_words(done.stderr))
        marks, cluster = {}, ""
        for line in lines_of(done.stdout):
            named = _CLUSTER.fullmatch(line)
            cluster = f";{named[1]}" if named else cluster
            number, _, comment = line.partition("|")
            if comment.startswith(_COMMENT):
                marks[f"{number}{cluster}"] = comment.removeprefix(_COMMENT)
        return marks

    def ping(self) -> str:
        """Return the output of `scontrol ping` and `sbatch --version`."""
        version, answer = run_command("sbatch", "--version"), run_command("scontrol", "ping")
        if version.returncode or answer.returncode or "UP" not in answer.stdout:
            raise SchedulerSilentError(_words(version.stderr or answer.stderr or answer.stdout))
        up = next(line for line in lines_of(answer.stdout) if "UP" in line)
        return f"{' '.join(lines_of(version.stdout))}; {up}"

    def _refusal(self, done: subprocess.CompletedProcess[str]) -> Exception:
        """Return the error to raise for a failed submission."""
        printed, refusal = done.stderr, of_sbatch(done.stderr)
        if refusal is Refusal.IN_DOUBT and done.stdout:  # a site may print the one or the other elsewhere
            printed = f"{done.stdout}\n{done.stderr}"
            refusal = of_sbatch(printed)
        return error_of(refusal, _words(printed))

    def _number_by_mark(self, script: Path, numbers: Sequence[str], printed: str) -> str:
        """Return the id of an accepted job if `sbatch` has printed several numbers, or none."""
        marks = _marks_in(script)
        if numbers:
            found: list[str] = []
            with suppress(SchedulerSilentError):
                found = [_number(job_id) for job_id, mark in self.marked_jobs().items() if mark in marks]
            return next((number for number in numbers if _number(number) in found), numbers[-1])
        told = shortened(" / ".join(lines_of(printed))) or "nothing"
        raise UnreadAnswerError(f"`sbatch` succeeded, but its output contains no job id: {told}")

    def _of_forgotten(self, job_id: str, account: JobRecord | None) -> JobRecord:
        """Return the accounting record of a job that SLURM has forgotten, unless it has missed its end."""
        if account is not None and (account.over or self._is_awaited(job_id)):
            return account
        meta = account.meta if account else {}
        return JobRecord(job_id=job_id, state=SchedulerJobState.UNKNOWN, confirmed=False, meta=meta)

    def _is_awaited(self, job_id: str) -> bool:
        """Whether the end of a job may still appear in the accounting."""
        ended = self._ends.setdefault(job_id, time.monotonic())
        return self._accounts and time.monotonic() - ended < self._accounts_seconds

    def _by_cluster(
        self, job_ids: Sequence[str], ask: Callable[[list[str], list[str]], Mapping[str, JobRecord | None]]
    ) -> dict[str, JobRecord]:
        """Ask each cluster about its own jobs: two clusters may give the same number."""
        records = {}
        for cluster, chosen in self._grouped(job_ids).items():
            told = ask(list(cluster), [_number(job_id) for job_id in chosen])
            for job_id in chosen:
                record = told.get(_number(job_id))
                if record is not None:
                    records[job_id] = record.model_copy(update={"job_id": job_id})
                elif _number(job_id) in told:
                    self._unread.add(job_id)
        return records

    def _grouped(self, job_ids: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
        groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for job_id in job_ids:
            groups[tuple(_option(job_id.partition(";")[2] or self._clusters))].append(job_id)
        return groups

    def _queue(self, cluster: list[str], numbers: list[str]) -> Mapping[str, JobRecord | None]:
        # Of several ids those that are unknown are left out; a single one would be an error.
        options = ("--noheader", "--states=all", f"--format={SQUEUE}", f"--jobs={','.join(numbers)}")
        done = run_command("squeue", *cluster, *options)
        jobs = read_queue(done.stdout)  # of several clusters those that know the job print it
        silent = _NO_ANSWER.search(done.stderr) is not None
        if (silent and not jobs) or (done.returncode and not _OVER.search(done.stderr)):
            raise SchedulerSilentError(_words(done.stderr))
        return {**dict.fromkeys(numbers), **jobs} if silent else jobs

    def _account(self, cluster: list[str], numbers: list[str]) -> dict[str, JobRecord]:
        self._accounts = self._accounts and shutil.which("sacct") is not None
        if not self._accounts:
            return {}
        options = ("--noheader", "--parsable2", f"--format={SACCT}", f"--jobs={','.join(numbers)}")
        done = run_command("sacct", *cluster, *options)
        if done.returncode:
            self._accounts = _NO_ACCOUNTING.search(done.stderr) is None
            return {}
        return read_accounts(done.stdout)


def _number(job_id: str) -> str:
    return job_id.partition(";")[0]


def _option(clusters: str) -> list[str]:
    return [f"--clusters={clusters}"] if clusters else []


def _marks_in(script: Path) -> set[str]:
    return set(_MARK_IN_SCRIPT.findall(script.read_text(encoding="utf-8", errors="surrogateescape")))


def _words(text: str) -> str:
    """Return the message of a command, without the names of programs before it."""
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line).strip() for line in lines_of(text)]
    return shortened(" ".join(line for line in lines if line)) or "it printed nothing"

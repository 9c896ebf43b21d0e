"""
Parse the output of `sbatch`, `squeue` and `sacct` into ids and records of jobs.

Lines that are not rows, and values that cannot be read, are left out.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord, SchedulerJobState
from climate_ref_prefect.transports.batch.schedulers.slurm.refusals import never_starts_in_slurm

SQUEUE: Final = "%i|%T|%r|%N|%V|%S"
"""Format of the rows of `squeue`."""
SACCT: Final = "JobID,State,ExitCode,MaxRSS,TotalCPU,ElapsedRaw,NodeList,Submit,Start"
"""Format of the rows of `sacct`."""
_PARSABLE: Final = re.compile(r"(\d+)(?:;([\w.-]+))?")
_LONG_FORM: Final = re.compile(r"\bSubmitted batch job (\d+)(?: on cluster ([\w.-]+))?")
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
_UNCONFIRMED: Final = ("NODE_FAIL", "BOOT_FAIL")
_NUMBER: Final = re.compile(r"(\d+)(?:_\d+|_\[[^\]]*\]|\+\d+)?")
"""Id of a job, or of a part of one: a task of an array (`7_1`, `7_[2-5%2]`) or a component (`7+0`)."""
_STATE: Final = re.compile(r"[A-Z][A-Z_]+\b")
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d*)?)([KMGTP]?)[nc]?")
_FACTORS_MB: Final = {"": 1 / 1024**2, "K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
_TIME: Final = re.compile(r"(?:(\d{1,9})-)?(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,12}(?:\.\d+)?)")
_FEWEST_OF_QUEUE: Final = 6
_FIELDS_OF_ACCOUNT: Final = 9
_WHOLE_SECONDS: Final = re.compile(r"\d{1,12}")


def submitted_numbers(printed: str) -> list[str]:
    """
    Return what may be a job id in the output of `sbatch`, with its cluster if that was named: `4711;cm2`.

    A site may print lines around it, and the long form although `--parsable` was asked for.
    """
    lines = lines_of(printed)
    parsable = [match for match in map(_PARSABLE.fullmatch, lines) if match]
    long_form = [match for match in map(_LONG_FORM.search, lines) if match]
    of_clusters = [match for match in parsable if match[2]]
    found = long_form or of_clusters or parsable
    return list(dict.fromkeys(f"{match[1]};{match[2]}" if match[2] else match[1] for match in found))


def read_queue(printed: str) -> dict[str, JobRecord | None]:
    """
    Return the record of each job by its id; None if its row in the output of `squeue` cannot be read.

    A job with several rows, for its parts or on several clusters, is over when all of them are.
    """
    found: dict[str, JobRecord | None] = {}
    for line in lines_of(printed):
        fields = line.split("|")
        number = _NUMBER.fullmatch(fields[0].strip())
        if number:
            found[number[1]] = _last_to_end(found.get(number[1]), _of_queue(fields))
    return found


def read_accounts(printed: str) -> dict[str, JobRecord]:
    """Return the record of each job in the output of `sacct`, by its id. The usage of its steps is included."""
    rows: dict[str, list[list[str]]] = {}
    for line in lines_of(printed):
        fields = [field.strip() for field in line.split("|")]
        if _is_row_of_account(fields):
            rows.setdefault(fields[0].partition(".")[0], []).append(fields)
    found: dict[str, JobRecord] = {}
    for number, lines in rows.items():
        job_id = number.partition("_")[0].partition("+")[0]
        steps = [row for row in lines if "." in row[0]]
        for whole in (row for row in lines if "." not in row[0]):  # Steps alone do not show the state of the job.
            account = _of_account(job_id, whole, steps)
            found[job_id] = _last_to_end(found.get(job_id), account) or account
    return found


def _last_to_end(one: JobRecord | None, other: JobRecord | None) -> JobRecord | None:
    if one is None or other is None:
        return one or other
    return other if one.over else one


def _of_queue(fields: Sequence[str]) -> JobRecord | None:
    if len(fields) < _FEWEST_OF_QUEUE or not _STATE.match(fields[1].strip()):
        return None
    job_id, state, *words, node, submitted, started = (field.strip() for field in fields)
    reason = "|".join(words)  # the only field in which a site may have the separator
    record = _record(job_id, state, node, submitted, started)
    never = record.state is SchedulerJobState.PENDING and never_starts_in_slurm(reason)
    told = state if reason in ("None", "") else f"{state} ({reason})"
    return record.model_copy(update={"words": told, "never": never})


def _is_row_of_account(fields: Sequence[str]) -> bool:
    if len(fields) != _FIELDS_OF_ACCOUNT:
        return False
    number, _, step = fields[0].partition(".")
    return bool(_NUMBER.fullmatch(number) and (step or _STATE.match(fields[1])))


def _of_account(job_id: str, whole: Sequence[str], steps: Sequence[Sequence[str]]) -> JobRecord:
    _, state, exit_code, _, cpu, elapsed, node, submitted, started = whole
    measured = {
        "job_cpu_seconds": _seconds(cpu),
        "job_wall_seconds": int(elapsed) if _WHOLE_SECONDS.fullmatch(elapsed) else None,
        "job_peak_rss_mb": max(filter(None, (_megabytes(row[3]) for row in (whole, *steps))), default=None),
    }
    meta = {"job_state": state, **{name: value for name, value in measured.items() if value is not None}}
    record = _record(job_id, state, node, submitted, started)
    return record.model_copy(update={"words": f"{state}, exit code {exit_code}", "meta": meta})


def _record(job_id: str, state: str, node: str, submitted: str, started: str) -> JobRecord:
    first = state.split(maxsplit=1)[0] if state else ""
    if first in _ENDED:
        where, kind = SchedulerJobState.ENDED, _ENDED[first]
    else:
        where, kind = SchedulerJobState.PENDING if first in _PENDING else SchedulerJobState.RUNNING, None
    wait = _wait_seconds(submitted, started) if where is not SchedulerJobState.PENDING else None
    return JobRecord(
        job_id=job_id,
        state=where,
        kind=kind,
        words=state,
        node="" if node.startswith(("None", "(null)", "Unknown")) else node,
        queue_wait_seconds=wait,
        confirmed=first not in _UNCONFIRMED,
    )


def _wait_seconds(submitted: str, started: str) -> float | None:
    try:
        # Both are local times of the cluster.
        wait = datetime.fromisoformat(started) - datetime.fromisoformat(submitted)
    except (ValueError, TypeError):  # `N/A`, `Unknown`: it never started; or one has a time zone
        return None
    return max(0.0, wait.total_seconds())


def _megabytes(text: str) -> float | None:
    """Read a size as `sacct` writes it: `1234K`, `1.5G`, `4Gn`."""
    match = _SIZE.fullmatch(text.strip())
    return None if match is None else round(float(match[1]) * _FACTORS_MB[match[2]], 2)


def _seconds(text: str) -> float | None:
    """Read a time as `sacct` writes it: `1-02:03:04`, `02:03.456`."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return total if math.isfinite(total) else None

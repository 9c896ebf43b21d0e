"""Parse the output of `qstat -f -F json`, of which some versions of PBS print invalid JSON."""

import json
import re
import time
from calendar import timegm
from collections.abc import Iterator, Mapping
from typing import Any, Final

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SchedulerJobState,
    SchedulerSilentError,
)

_STATES: Final = {
    **dict.fromkeys("QHWTM", SchedulerJobState.PENDING),  # M: moved to another server, where it continues
    **dict.fromkeys("FX", SchedulerJobState.ENDED),
}
"""States by `job_state`. Every other letter means a job with processes."""
_LIMITS: Final = {
    -29: FailureKind.TIMEOUT,  # walltime
    -28: FailureKind.TIMEOUT,  # processor time
    -27: FailureKind.OUT_OF_MEMORY,
    -26: FailureKind.OUT_OF_MEMORY,  # virtual memory
}
"""Failure kinds by `Exit_status`, if the job was ended at one of its limits."""
_SIGNALS: Final = (256, 128)
"""Offsets that `Exit_status` adds to the number of a signal: that of PBS, and that of a login shell around the job."""
_LARGEST_SIGNAL: Final = 64
_NEVER: Final = "Can Never Run"
_INSUFFICIENT: Final = re.compile(
    r"Insufficient amount of (?:\w+ )*resource: \S+ \(R: (?P<asked>\S+) A: \S+ T: (?P<total>[^\s)]+)"
)
"""`R` is what the job requests, `A` what is free, `T` the total."""
_JOB: Final = re.compile(r'^(?P<indent>[ \t]*)"(?P<job_id>\d+[^"\s]*)":\s*(?P<job>\{$.*?^(?P=indent)\})', re.M | re.S)
_MEMBER: Final = re.compile(r'(\s*"(?:[^"\\]|\\.)*":\s*)(.*?)(,?)\s*')
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d+)?)([kmgtp]?)([bw]?)", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d{1,12}", re.ASCII)
_BYTES_OF_A_WORD: Final = 8
_MEBIBYTES: Final = {"": 2.0**-20, "k": 2.0**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}


def read_json(text: str) -> Mapping[str, Any]:
    """
    Read the output of `-F json`, and repair it if it is not JSON: it may have bare words and stray backslashes.

    Raises
    ------
    SchedulerSilentError
        If it cannot be repaired.
    """
    start = text.find("{")
    if start < 0:
        return {}
    for read in (text[start:], "\n".join(map(_mended, text[start:].split("\n")))):
        try:
            document = json.loads(read, strict=False)
        except ValueError:
            continue
        return document if isinstance(document, dict) else {}
    jobs = dict(_jobs_that_can_be_read(text[start:]))
    if jobs:
        return {"Jobs": jobs}
    raise SchedulerSilentError(f"qstat has printed JSON that cannot be read, beginning {text[:200]!r}.")


def read_record(job_id: str, job: Mapping[str, Any]) -> JobRecord:
    """Return the record of a job from its attributes."""
    letter, comment = str(job.get("job_state", "")), str(job.get("comment", ""))
    state = _STATES.get(letter, SchedulerJobState.RUNNING)
    exit_status = _integer(job.get("Exit_status"))
    words = f"{letter}: {comment}" if comment else letter
    if state is SchedulerJobState.ENDED:
        words += f" (Exit_status {exit_status})" if exit_status is not None else " (no Exit_status)"
    return JobRecord(
        job_id=job_id,
        state=state,
        kind=_cause(exit_status, comment, job) if state is SchedulerJobState.ENDED else None,
        words=words,
        # Without control groups, processes outside of the job's session live on until their supervisor notices the end.
        confirmed=exit_status == 0,
        never=state is SchedulerJobState.PENDING and _never_starts(comment),
        node=",".join(dict.fromkeys(part.partition("/")[0] for part in str(job.get("exec_host", "")).split("+"))),
        queue_wait_seconds=_queue_wait(job),
        meta=_measured(_group(job, "resources_used")),
    )


def _cause(exit_status: int | None, comment: str, job: Mapping[str, Any]) -> FailureKind | None:
    if exit_status in _LIMITS:
        return _LIMITS[exit_status]
    if exit_status is None or exit_status < 0 or "and terminated" in comment:
        return FailureKind.WORKER_LOST  # It was deleted, lost with its node, or PBS could not start it.
    if not any(base < exit_status <= base + _LARGEST_SIGNAL for base in _SIGNALS):
        return None
    asked = _seconds(_group(job, "Resource_List").get("walltime"))
    used = _seconds(_group(job, "resources_used").get("walltime"))
    # If a site enforces the walltime in its own way, PBS knows only of a signal.
    return FailureKind.TIMEOUT if asked and used and used >= asked else FailureKind.KILLED


def _never_starts(comment: str) -> bool:
    """Whether a job can never start because it requests more than the site has in all, not only more than is free."""
    if comment.startswith(_NEVER):
        return True
    lacking = _INSUFFICIENT.search(" ".join(comment.split()))
    if lacking is None:
        return False
    asked, total = _amount(lacking["asked"]), _amount(lacking["total"])
    return asked is not None and total is not None and total < asked


def _amount(text: str) -> float | None:
    """Return a number, a size in bytes or a time in seconds."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return _seconds(text)
    mebibytes = _mebibytes(text)
    return None if mebibytes is None else mebibytes / _MEBIBYTES[""]


def _group(job: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = job.get(name)
    return group if isinstance(group, Mapping) else {}


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _jobs_that_can_be_read(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read each job separately, so that one with invalid JSON does not affect the others."""
    for found in _JOB.finditer(text):
        try:
            job = json.loads("\n".join(map(_mended, found["job"].split("\n"))), strict=False)
        except ValueError:
            continue
        if isinstance(job, dict):
            yield found["job_id"], job


def _queue_wait(job: Mapping[str, Any]) -> float | None:
    started, queued = _moment(job.get("stime")), _moment(job.get("qtime"))
    if started is None:
        return None
    return max(0.0, started - queued) if queued is not None else _seconds(job.get("eligible_time"))


def _measured(used: Mapping[str, Any]) -> dict[str, Any]:
    measured = {
        "job_peak_rss_mb": _mebibytes(used.get("mem")),
        "job_cpu_seconds": _seconds(used.get("cput")),
        "job_wall_seconds": _seconds(used.get("walltime")),
    }
    return {name: value for name, value in measured.items() if value is not None}


def _moment(text: object) -> float | None:
    try:
        return float(timegm(time.strptime(str(text), "%a %b %d %H:%M:%S %Y")))
    except ValueError:
        return None


def _seconds(text: object) -> float | None:
    parts = str(text).split(":")
    if not all(_DIGITS.fullmatch(part) for part in parts):
        return None
    return float(sum(int(part) * 60**power for power, part in enumerate(reversed(parts))))


def _mebibytes(text: object) -> float | None:
    match = _SIZE.fullmatch(str(text))
    if match is None:
        return None
    words = _BYTES_OF_A_WORD if match[3].lower() == "w" else 1
    return float(match[1]) * _MEBIBYTES[match[2].lower()] * words


def _mended(line: str) -> str:
    match = _MEMBER.fullmatch(line)
    if match is None or match[2] in ("{", "["):
        return line
    try:
        json.loads(match[2], strict=False)
    except ValueError:
        return match[1] + json.dumps(match[2].strip('"')) + match[3]
    return line

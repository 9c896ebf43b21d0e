"""What `qstat -f -F json` prints, as records: versions of PBS differ in how well they write JSON."""

import json
import re
import time
from calendar import timegm
from collections.abc import Mapping
from typing import Any, Final

from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.transports.batch.scheduler import JobRecord, JobState, SchedulerSilentError

_STATES: Final = {
    **dict.fromkeys("QHWTM", JobState.PENDING),  # M: moved to another server, where it goes on
    **dict.fromkeys("FX", JobState.ENDED),
}
"""By `job_state`; every other letter is a job that has processes."""
_LIMITS: Final = {
    -29: FailureKind.TIMEOUT,  # walltime
    -28: FailureKind.TIMEOUT,  # processor time
    -27: FailureKind.OUT_OF_MEMORY,
    -26: FailureKind.OUT_OF_MEMORY,  # virtual memory
}
"""By `Exit_status`, where the job was ended at one of its limits."""
_SIGNALLED: Final = 256
"""What `Exit_status` has beside the number of a signal."""
_NEVER: Final = "Can Never Run"
_MEMBER: Final = re.compile(r'(\s*"(?:[^"\\]|\\.)*":\s*)(.*?)(,?)\s*')
_SIZE: Final = re.compile(r"(\d+)([kmgtp]?)b?", re.IGNORECASE)
_MEBIBYTES: Final = {"": 2.0**-20, "k": 2.0**-10, "m": 1.0, "g": 2.0**10, "t": 2.0**20, "p": 2.0**30}


def read_json(text: str) -> Mapping[str, Any]:
    """
    Read what `-F json` prints, and mend it where it is no JSON: it may have bare words and stray backslashes.

    Raises
    ------
    SchedulerSilentError
        If it cannot be mended.
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
    raise SchedulerSilentError(f"qstat has printed JSON that cannot be read, beginning {text[:200]!r}.")


def read_record(job_id: str, job: Mapping[str, Any]) -> JobRecord:
    """Return what the attributes of a job say of it."""
    letter, comment = str(job.get("job_state", "")), str(job.get("comment", ""))
    state = _STATES.get(letter, JobState.RUNNING)
    status = job.get("Exit_status")
    exit_status = int(status) if status is not None else None
    words = f"{letter}: {comment}" if comment else letter
    if state is JobState.ENDED:
        words += f" (Exit_status {exit_status})" if exit_status is not None else " (no Exit_status)"
    return JobRecord(
        job_id=job_id,
        state=state,
        kind=_cause(exit_status, comment, job) if state is JobState.ENDED else None,
        words=words,
        # Without control groups, what has left the job's session lives on until its supervisor hears of the end.
        confirmed=exit_status == 0,
        never=state is JobState.PENDING and comment.startswith(_NEVER),
        node=",".join(dict.fromkeys(part.partition("/")[0] for part in str(job.get("exec_host", "")).split("+"))),
        queue_wait_seconds=_queue_wait(job),
        meta=_measured(job.get("resources_used", {})),
    )


def _cause(exit_status: int | None, comment: str, job: Mapping[str, Any]) -> FailureKind | None:
    if exit_status in _LIMITS:
        return _LIMITS[exit_status]
    if exit_status is None or exit_status < 0 or "and terminated" in comment:
        return FailureKind.WORKER_LOST  # deleted, or lost with its node, or PBS could not start it
    if exit_status < _SIGNALLED:
        return None
    asked = _seconds(job.get("Resource_List", {}).get("walltime"))
    used = _seconds(job.get("resources_used", {}).get("walltime"))
    # A site's own way to enforce the walltime tells PBS of a signal alone.
    return FailureKind.TIMEOUT if asked and used and used >= asked else FailureKind.KILLED


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
    if not all(part.isdigit() for part in parts):
        return None
    return float(sum(int(part) * 60**power for power, part in enumerate(reversed(parts))))


def _mebibytes(text: object) -> float | None:
    match = _SIZE.fullmatch(str(text))
    return None if match is None else int(match[1]) * _MEBIBYTES[match[2].lower()]


def _mended(line: str) -> str:
    match = _MEMBER.fullmatch(line)
    if match is None or match[2] in ("{", "["):
        return line
    try:
        json.loads(match[2], strict=False)
    except ValueError:
        return match[1] + json.dumps(match[2].strip('"')) + match[3]
    return line

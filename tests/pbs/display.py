"""How `qstat` prints jobs: the table, the full form wrapped at 80 columns, and JSON with its quirks."""

import json
import re
import time
from collections.abc import Iterable

from tests.pbs.jobs import VARIABLES, Job
from tests.pbs.resources import format_seconds

TABLE_HEADER = (
    "Job id            Name             User              Time Use S Queue\n"
    "----------------  ---------------- ----------------  -------- - -----\n"
)
VERSION = "23.06.06"
_WIDTH = 78
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?([eE][+-]?\d+)?\s*")
_VARIABLE = re.compile(r"(?:[^,\\]|\\.)+")


def table_row(job: Job) -> str:
    """Return the line of a job in the table of `qstat`."""
    used = format_seconds(job.usage.cpu_seconds) if job.reported else "0"
    name = job.submission.name
    name = name if len(name) < 16 else f"{name[:15]}*"
    return f"{job.job_id[:17]:<17} {name:<16} {job.owner[:16]:<16}  {used:>8} {job.state} {job.queue:<16}\n"


def full(job: Job) -> str:
    """Return what `qstat -f` prints of a job."""
    lines = (_wrapped(f"{name}.{resource}" if resource else name, value) for name, resource, value in job.attributes())
    return f"Job Id: {job.job_id}\n" + "".join(lines) + "\n"


def as_json(jobs: Iterable[Job], server: str) -> str:
    """Return what `qstat -f -F json` prints."""
    document: dict[str, object] = {"timestamp": int(time.time()), "pbs_version": VERSION, "pbs_server": server}
    described = {job.job_id: _described(job) for job in jobs}
    if described:
        document["Jobs"] = described
    return _printed(document, 1) + "\n"


def server_json(server: str, default_queue: str, jobs: int) -> str:
    """Return what `qstat -B -f -F json` prints."""
    attributes = {"server_state": "Active", "server_host": server, "default_queue": default_queue, "total_jobs": jobs}
    document = {
        "timestamp": int(time.time()),
        "pbs_version": VERSION,
        "pbs_server": server,
        "Server": {server: {**attributes, "pbs_version": VERSION}},
    }
    return _printed(document, 1) + "\n"


def _described(job: Job) -> dict[str, object]:
    described: dict[str, object] = {}
    for name, resource, value in job.attributes():
        if name == VARIABLES:
            described[name] = {key: _coerced(text) for key, text in _variables(value)}
        elif resource is None:
            described[name] = _coerced(value)
        else:
            group = described.setdefault(name, {})
            assert isinstance(group, dict)
            group[resource] = _coerced(value)
    return described


def _variables(joined: str) -> list[tuple[str, str]]:
    pairs = (item.partition("=") for item in _VARIABLE.findall(joined))
    # A comma comes back as it was, a backslash comes back doubled.
    return [(key, value.replace("\\,", ",")) for key, _, value in pairs]


def _coerced(text: str) -> object:
    """Return a value that looks like JSON as that, as OpenPBS's printer does: `1e3` becomes 1000, `true` no string."""
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if not isinstance(value, float) else text


def _printed(value: object, depth: int) -> str:
    if isinstance(value, dict):
        if not value:
            return "{\n" + "\t" * (depth - 1) + "}"
        items = ",\n".join(f"{_tabs(depth)}{_text(key)}:\t{_printed(item, depth + 1)}" for key, item in value.items())
        return "{\n" + items + "\n" + _tabs(depth - 1) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_printed(item, depth + 1) for item in value) + "]"
    if isinstance(value, float):
        short = format(value, ".15g")
        return short if float(short) == value else format(value, ".17g")
    return _text(value)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _tabs(depth: int) -> str:
    return "\t" * depth


def _wrapped(name: str, value: str) -> str:
    """Break a value at commas where that fits in a line, and anywhere where it does not."""
    text = f"    {name} = "
    column = len(name) + 7
    for number, part in enumerate(value.split(",")):
        text += "," if number else ""
        if len(part) + column < _WIDTH:
            text += part
            column += len(part)
            continue
        if number:
            text += "\n\t"
            column = 9
        for character in part:
            text += character
            column += 1
            if column > _WIDTH:
                text += "\n\t"
                column = 8
    return text + "\n"

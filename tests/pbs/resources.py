"""What a job asks for with `-l`, in OpenPBS's way (`select`) and in the older one (`ncpus`, `mem`)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.pbs import errors
from tests.pbs.errors import PbsError, UsageError
from tests.pbs.settings import QueueSettings, Settings

_SIZE = re.compile(r"(\d+)([kmgtp]?)(b?)", re.IGNORECASE)
_TIME = re.compile(r"(?:(\d+):)?(?:(\d+):)?(\d+)(?:\.\d*)?")
_COUNT = re.compile(r"\d+")
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_IN_CHUNK = ("ncpus", "mem")
_TIMES = ("walltime", "cput")
_OF_WHOLE_JOB = (*_TIMES, "select", "place")
_KNOWN = frozenset({"select", "place", "ncpus", "mem", "vmem", "walltime", "cput", "mpiprocs", "ompthreads", "host"})


@dataclass(frozen=True)
class Chunk:
    """So many processors and so much memory on one node, `count` times."""

    count: int = 1
    ncpus: int = 1
    memory_kb: int = 0


@dataclass(frozen=True)
class Request:
    """All that a job asks for."""

    chunks: tuple[Chunk, ...]
    walltime_seconds: int | None
    listed: Mapping[str, str]
    """What `qstat -f` shows as `Resource_List`."""

    @property
    def ncpus(self) -> int:
        """Processors in all."""
        return sum(chunk.count * chunk.ncpus for chunk in self.chunks)

    @property
    def memory_kb(self) -> int:
        """Memory in all; 0 where none was asked for."""
        return sum(chunk.count * chunk.memory_kb for chunk in self.chunks)


def read_request(lists: Sequence[str], settings: Settings) -> Request:
    """Read the values of all `-l`; of two for one resource the first one counts."""
    asked: dict[str, str] = {}
    for text in lists:
        for item in text.split(","):
            name, equals, value = item.strip().partition("=")
            if not (name and equals and value):
                raise UsageError("qsub: illegal -l value\n")
            asked.setdefault(name, value)
    _check_names(asked, settings)
    walltime = _seconds(asked["walltime"]) if "walltime" in asked else None
    chunks = _select(asked["select"]) if "select" in asked else (_older(asked),)
    return Request(chunks, walltime, _listed(asked, chunks, walltime))


def check_limits(request: Request, queue: QueueSettings) -> None:
    """Refuse what is too large for the queue."""
    limits = (
        (request.ncpus, queue.max_ncpus),
        (request.memory_kb, None if queue.max_memory_mb is None else queue.max_memory_mb * 1024),
        (request.walltime_seconds or 0, queue.max_walltime_seconds),
    )
    if any(limit is not None and asked > limit for asked, limit in limits):
        raise PbsError(errors.OVER_RESOURCE_LIMIT)


def format_seconds(seconds: float) -> str:
    """Return a duration as PBS writes it: hours, minutes, seconds."""
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _check_names(asked: Mapping[str, str], settings: Settings) -> None:
    if "select" in asked and not settings.select_allowed:
        raise PbsError(errors.HOOK_ERROR, words="Use of -l select is not permitted on this system")
    for name in asked:
        if name not in _KNOWN and name not in settings.site_resources:
            raise PbsError(errors.UNKNOWN_RESOURCE, f"Resource_List.{name}")
    mixed = [name for name in _IN_CHUNK if name in asked]
    if "select" in asked and mixed and not settings.mix_allowed:
        raise PbsError(errors.SELECT_MIXED, mixed[0])
    for name in _TIMES:
        if name in asked:
            _seconds(asked[name], name)


def _select(text: str) -> tuple[Chunk, ...]:
    return tuple(_chunk(part) for part in text.split("+"))


def _chunk(text: str) -> Chunk:
    first, *rest = text.split(":")
    if not _COUNT.fullmatch(first):
        first, rest = "1", [first, *rest]
    values = dict(item.partition("=")[::2] for item in rest)
    for name in values:
        if name not in _KNOWN:
            raise PbsError(errors.UNKNOWN_RESOURCE, words=f"Unknown resource: {name}")
        if name in _OF_WHOLE_JOB:
            raise PbsError(errors.NOT_IN_SELECT, name)
    return Chunk(int(first), _ncpus(values, "select"), _memory_kb(values, "select"))


def _older(asked: Mapping[str, str]) -> Chunk:
    return Chunk(1, _ncpus(asked, "Resource_List"), _memory_kb(asked, "Resource_List"))


def _ncpus(values: Mapping[str, str], where: str) -> int:
    text = values.get("ncpus", "1")
    if not _COUNT.fullmatch(text):
        raise PbsError(errors.BAD_VALUE, f"{where}.ncpus")
    return int(text)


def _memory_kb(values: Mapping[str, str], where: str) -> int:
    match = _SIZE.fullmatch(values.get("mem", "0"))
    if match is None:
        raise PbsError(errors.BAD_VALUE, f"{where}.mem")
    number: int = int(match[1]) * 1024 ** _POWER[match[2].lower()]
    return -(-number // 1024)


def _seconds(text: str, name: str = "walltime") -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise PbsError(errors.BAD_VALUE, f"Resource_List.{name}")
    parts = [int(part) for part in match.groups() if part is not None]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _listed(asked: Mapping[str, str], chunks: tuple[Chunk, ...], walltime: int | None) -> dict[str, str]:
    total = Request(chunks, walltime, {})
    single = len(chunks) == 1 and chunks[0].count == 1
    listed = {name: value for name, value in asked.items() if name not in _IN_CHUNK}
    listed["ncpus"] = str(total.ncpus)
    listed["nodect"] = str(sum(chunk.count for chunk in chunks))
    listed.setdefault("place", "free" if "select" in asked else "pack")
    if total.memory_kb:
        listed["mem"] = _memory_as_given(asked) if single else f"{total.memory_kb}kb"
    if "select" not in asked:
        memory = f":mem={listed['mem']}" if "mem" in listed else ""
        listed["select"] = f"1:ncpus={total.ncpus}{memory}"
    if walltime is not None:
        listed["walltime"] = format_seconds(walltime)
    return dict(sorted(listed.items()))


def _memory_as_given(asked: Mapping[str, str]) -> str:
    if "select" not in asked:
        return asked["mem"].lower()
    return next(item.partition("=")[2].lower() for item in asked["select"].split(":") if item.startswith("mem="))

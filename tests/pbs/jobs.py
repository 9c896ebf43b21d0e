"""A job as the server knows it, and the attributes that `qstat -f` shows."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from tests.pbs.options import Submission
from tests.pbs.resources import Request, format_seconds

TIMES = ("ctime", "etime", "mtime", "obittime", "qtime", "stime")
VARIABLES = "Variable_List"


class Substate(IntEnum):
    """The substates that OpenPBS shows."""

    QUEUED = 10
    HELD = 20
    STARTING = 41
    RUNNING = 42
    SUSPENDED = 43
    EXITING = 51
    TERMINATED = 91
    FINISHED = 92
    FAILED = 93


@dataclass(frozen=True)
class Slot:
    """Processors of a node that a job has: numbers of the processors, and memory."""

    node: str
    cpus: tuple[int, ...]
    memory_kb: int


@dataclass(frozen=True)
class Usage:
    """What a job has used so far."""

    cpu_seconds: float = 0.0
    memory_kb: int = 0
    virtual_kb: int = 0
    wall_seconds: float = 0.0

    def merged(self, other: "Usage") -> "Usage":
        """Return the larger of each."""
        return Usage(
            max(self.cpu_seconds, other.cpu_seconds),
            max(self.memory_kb, other.memory_kb),
            max(self.virtual_kb, other.virtual_kb),
            max(self.wall_seconds, other.wall_seconds),
        )


@dataclass
class Job:
    """One job; guarded by the server's lock."""

    number: int
    server: str
    owner: str
    queue: str
    submission: Submission
    request: Request
    arguments: str
    variables: Mapping[str, str]
    output_path: str
    error_path: str
    home: str
    state: str = "Q"
    substate: Substate = Substate.QUEUED
    comment: str | None = None
    hold_types: str = "n"
    slots: tuple[Slot, ...] = ()
    run_count: int = 0
    exit_status: int | None = None
    staged_out: bool = False
    session_id: int | None = None
    reported: bool = False
    """Whether it shows what it uses."""
    usage: Usage = field(default_factory=Usage)
    deleted: bool = False
    cookie: str = ""
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    finished: float | None = None
    """When it went into the history."""

    @property
    def job_id(self) -> str:
        """Its id, for example `27.host`."""
        return f"{self.number}.{self.server}"

    @property
    def rerunnable(self) -> bool:
        """Whether it may be run again; it may unless it forbids that."""
        return self.submission.options.get("r", "y") == "y"

    @property
    def join(self) -> str:
        """`oe`, `eo` or `n`."""
        return self.submission.options.get("j", "n")

    def change(self, state: str, substate: Substate) -> None:
        """Give it another state."""
        self.state, self.substate, self.modified = state, substate, time.time()

    def attributes(self) -> Iterator[tuple[str, str | None, str]]:
        """Yield name, resource and value of each attribute, in OpenPBS's order."""
        for name, value in self._all():
            if isinstance(value, str):
                yield name, None, value
            elif value is not None:
                yield from ((name, resource, text) for resource, text in value.items())

    def _all(self) -> Iterator[tuple[str, str | Mapping[str, str] | None]]:
        options = self.submission.options
        yield "Job_Name", self.submission.name
        yield "Job_Owner", f"{self.owner}@{self.server}"
        yield "resources_used", self._used() if self.reported else None
        yield "job_state", self.state
        yield "queue", self.queue
        yield "server", self.server
        yield "Account_Name", options.get("A")
        yield "Checkpoint", "u"
        yield "ctime", _moment(self.created)
        yield "Error_Path", self.error_path
        yield "exec_host", "+".join(map(_host, self.slots)) or None
        yield "exec_vnode", self.vnodes or None
        yield "Hold_Types", self.hold_types
        yield "Join_Path", self.join
        yield "Keep_Files", options.get("k", "n")
        yield "Mail_Points", options.get("m", "a")
        yield "mtime", _moment(self.modified)
        yield "Output_Path", self.output_path
        yield "Priority", options.get("p", "0")
        yield "qtime", _moment(self.created)
        yield "Rerunable", str(self.rerunnable)
        yield "Resource_List", self.request.listed
        yield "stime", _moment(self.started)
        yield "obittime", _moment(self.ended)
        yield "session_id", str(self.session_id) if self.reported and self.session_id else None
        yield "jobdir", self.home if self.reported else None
        yield "substate", str(int(self.substate))
        yield VARIABLES, _joined(self.variables)
        yield "comment", self.comment
        yield "etime", _moment(self.created) if self.hold_types == "n" else None
        yield "run_count", str(self.run_count) if self.run_count else None
        yield "Stageout_status", "1" if self.staged_out else None
        yield "Exit_status", None if self.exit_status is None else str(self.exit_status)
        yield "Submit_arguments", self.arguments
        yield "executable", _executable(self.submission)
        yield "history_timestamp", str(int(self.finished)) if self.finished else None
        yield "project", options.get("P", "_pbs_project_default")
        yield "Submit_Host", self.server

    @property
    def vnodes(self) -> str:
        """Where it runs, with what; empty where it does not."""
        return "+".join(map(_vnode, self.slots))

    def _used(self) -> Mapping[str, str]:
        percent = 100 * self.usage.cpu_seconds / self.usage.wall_seconds if self.usage.wall_seconds else 0
        return {
            "cpupercent": str(int(percent)),
            "cput": format_seconds(self.usage.cpu_seconds),
            "mem": f"{self.usage.memory_kb}kb",
            "ncpus": str(self.request.ncpus),
            "vmem": f"{self.usage.virtual_kb}kb",
            "walltime": format_seconds(self.usage.wall_seconds),
        }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else time.ctime(seconds)


def _host(slot: Slot) -> str:
    times = f"*{len(slot.cpus)}" if len(slot.cpus) > 1 else ""
    return f"{slot.node}/{slot.cpus[0] if slot.cpus else 0}{times}"


def _vnode(slot: Slot) -> str:
    memory = f":mem={slot.memory_kb}kb" if slot.memory_kb else ""
    return f"({slot.node}:ncpus={len(slot.cpus)}{memory})"


def _joined(variables: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_escaped(value)}" for name, value in variables.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,")


def _executable(submission: Submission) -> str | None:
    if not submission.command:
        return None
    return f"<jsdl-hpcpa:Executable>{submission.command[0]}</jsdl-hpcpa:Executable>"

"""The settings of a test's cluster: nodes, queues, and the PBS configuration of the site."""

import dataclasses
import getpass
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class NodeSettings:
    """One node."""

    name: str
    ncpus: int = 2
    memory_mb: int = 8192


@dataclass(frozen=True)
class QueueSettings:
    """One queue; a limit that is None does not exist."""

    name: str
    enabled: bool = True
    """Whether it takes jobs."""
    started: bool = True
    """Whether its jobs are run."""
    max_queued: int | None = None
    """Jobs of a user in the queue, running ones included."""
    max_run: int | None = None
    """Jobs of a user that run at once; more are taken, and wait."""
    max_ncpus: int | None = None
    max_memory_mb: int | None = None
    max_walltime_seconds: int | None = None


DEFAULT_QUEUES = (
    QueueSettings("workq"),
    QueueSettings("bigmem", max_memory_mb=4096, max_walltime_seconds=48 * 3600),
    QueueSettings("closed", enabled=False),
)


@dataclass(frozen=True)
class Settings:
    """A whole cluster; as it comes, a site with one node of two processors and nothing special switched on."""

    server_name: str = "pbsvm"
    user: str = dataclasses.field(default_factory=getpass.getuser)
    home: str = ""
    """Where jobs start; a directory below the cluster's own by default."""
    first_job: int = 1
    nodes: tuple[NodeSettings, ...] = (NodeSettings("pbsvm"),)
    queues: tuple[QueueSettings, ...] = DEFAULT_QUEUES
    """The first one is the default queue."""
    history: bool = True
    """`job_history_enable`, which real sites have off unless they turn it on."""
    empty_json: bool = True
    """Whether `qstat -F json` prints nothing where it finds no job; some versions print a document without `Jobs`."""
    enforce_memory: bool = False
    """
    Whether the site holds jobs to their memory, by control groups: then all that a job has started counts, and ends
    with it. Otherwise PBS knows of a job's session alone: what has started a session of its own is neither counted
    nor ended.
    """
    kill_delay_seconds: float = 10.0
    """From SIGTERM to SIGKILL."""
    login_shell: bool = False
    """Whether a login shell starts the script, and reports a signal that ended it as 128 and its number (recorded)."""
    check_seconds: float = 0.05
    """How often limits are checked."""
    report_seconds: float = 0.1
    """How long after its start a job shows what it uses, its session and its directory."""
    select_allowed: bool = True
    """NCI Gadi forbids `-l select`."""
    mix_allowed: bool = False
    """Whether `select` may be had beside `-l ncpus` or `-l mem`; PBS refuses it."""
    site_resources: tuple[str, ...] = ()
    """Resources that the site has added, for example Gadi's `jobfs` and `storage`."""

    def to_json(self) -> str:
        """Return the settings as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read what `to_json` has written."""
        values = json.loads(text)
        values["nodes"] = tuple(NodeSettings(**node) for node in values["nodes"])
        values["queues"] = tuple(QueueSettings(**queue) for queue in values["queues"])
        values["site_resources"] = tuple(values["site_resources"])
        return cls(**values)


GADI = Settings(select_allowed=False, site_resources=("jobfs", "storage"))
"""The dialect of NCI Gadi."""

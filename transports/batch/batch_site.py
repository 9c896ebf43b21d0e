"""A batch site: what its profile says, and what a scheduler makes of that in job scripts."""

import os
import sys
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.batch.schedulers.job_marks import new_mark
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler, DaskJobQueue, JobVariables
from climate_ref_prefect.transports.batch.settings.job_script_quoting import check_one_line, names_variable
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize, Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.port import Traits

_ANY_PORT: Final = (0, 0)


class BatchSite(TransportModel):
    """
    The settings of a transport to a batch scheduler, from which job scripts and the pool of jobs are made.

    It opens nothing and runs nothing: `BatchTransport` does. A scheduler subclasses that.
    """

    # No form sets its fields: directives and prologue are an operator's trusted text.
    traits: ClassVar[Traits] = Traits(renders_jobs=True)

    dask_jobqueue: ClassVar[DaskJobQueue]
    """What makes job scripts of this scheduler."""

    job_variables: ClassVar[JobVariables]
    """How a job learns its id and its node."""

    refusable_fields: ClassVar[tuple[str, ...]] = ("account", "directives")
    """What the scheduler may refuse a job for, beside its size and queue: `doctor` names these fields."""

    outcome_patience_seconds: float = Field(default=90.0, ge=0)

    sizing: Sizing = Sizing()
    """How hints become jobs."""

    rules: PoolLimits = PoolLimits()
    """How many jobs there are, and for how long."""

    account: str | None = Field(default=None, pattern=r"^[\w.@+-]+$")
    """What the jobs are charged to."""

    job_name: str = Field(default="ref", pattern=r"^[A-Za-z][\w.-]*$")
    """First part of the jobs' names; the second is their size."""

    directives: tuple[str, ...] = ()
    """More options for the scheduler, one a line, without its prefix. The operator's trusted text."""

    prologue: tuple[str, ...] = ()
    """Shell lines before the worker starts: modules, environments. The operator's trusted text."""

    python: str = sys.executable
    """Interpreter on the nodes; has this package and the providers."""

    shared_directory: Path = Field(default=Path("~/.climate-ref-prefect"), validate_default=True)
    """
    Seen by coordinator and nodes, made for the user alone: keys and the output of jobs lie there.

    `~` and variables, as in `/scratch/$USER/ref`, are the coordinator's.
    """

    local_directory: str = "${TMPDIR:-/tmp}"
    """Directory on the node for Dask's own files; the shell there expands it."""

    interface: str | None = None
    """Network interface of nodes and coordinator, for example `ib0`; none for the default."""

    host: str | None = None
    """Address on which the coordinator listens; none for that of the interface."""

    ports: tuple[int, int] = _ANY_PORT
    """First and last port for the coordinator to listen on; zeros for any."""

    contact_address: str | None = Field(default=None, pattern=r"^[\w.-]+(:\d+)?$")
    """
    Address that workers are told, as `host` or `host:port`; none for where the coordinator listens.

    For a coordinator that nodes reach by another address than its own: behind NAT, or by a forwarded port.
    """

    tls: bool = True
    """Whether only who has this transport's keys can speak to coordinator and workers."""

    outlive_coordinator: bool = True
    """Whether what runs goes on without its coordinator: many hours of work do not end with a login session."""

    death_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a job that starts looks for its coordinator."""

    _owner: str = PrivateAttr(default="")
    _marks: set[str] = PrivateAttr(default_factory=set)
    """Marks of the jobs that this has submitted."""

    @field_validator("shared_directory")
    @classmethod
    def _is_expanded(cls, directory: Path) -> Path:
        expanded = os.path.expandvars(os.path.expanduser(directory))  # noqa: PTH111 - Path's raises where there is no such user
        if names_variable(expanded):
            raise ValueError(
                f"{expanded} names an environment variable that is not set here; a directory with such a name is "
                "reached by a link"
            )
        if not Path(expanded).is_absolute():
            raise ValueError(f"{expanded} is not absolute: nodes begin elsewhere")
        return Path(cls.check_path(check_one_line(expanded)))

    @field_validator("python", "local_directory", "interface")
    @classmethod
    def _is_one_line(cls, text: str | None) -> str | None:
        return text if text is None else check_one_line(text)

    @field_validator("ports")
    @classmethod
    def _are_a_range(cls, ports: tuple[int, int]) -> tuple[int, int]:
        first, last = ports
        if not 0 <= first <= last < 1 << 16:
            raise ValueError("the first port, then the last; zeros for any")
        return ports

    @field_validator("directives", "prologue")
    @classmethod
    def _are_lines(cls, lines: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if any("\n" in line for line in lines):
            raise ValueError("one line each, without line breaks")
        if info.field_name == "directives" and any(line.lstrip().startswith("#") for line in lines):
            raise ValueError("without the scheduler's prefix (`#SBATCH`, `#PBS`) before them: it is added")
        return lines

    @classmethod
    @abstractmethod
    def check_path(cls, path: str) -> str:
        """Return a path that the scheduler takes in its directives; raises `ValueError` for one that it does not."""

    @abstractmethod
    def commands(self, *, patient: bool = True) -> BatchScheduler:
        """Return the scheduler's commands; impatient ones do not wait for what accounts may show a little later."""

    @abstractmethod
    def sized(self, size: JobSize) -> dict[str, Any]:
        """Return dask-jobqueue's arguments that make a job of this size."""

    def new_mark(self) -> str:
        """Return the mark of a job that is yet to be submitted: it tells of which store this runs executions."""
        mark = new_mark(self._owner)
        self._marks.add(mark)
        return mark

    @property
    def shared(self) -> Path:
        """The shared directory, absolute."""
        return self.shared_directory.expanduser().absolute()

    @property
    def log_directory(self) -> Path:
        """Where the output of jobs lies."""
        return self.shared / "logs"

    @property
    def protocol(self) -> str:
        """Of Dask's comms."""
        return "tls://" if self.tls else "tcp://"

    def contact(self, address: str) -> str:
        """Return where workers find a coordinator that listens at an address."""
        if self.contact_address is None:
            return address
        protocol, port = address.partition("://")[0], address.rpartition(":")[2]
        return f"{protocol}://{self.contact_address}" + ("" if ":" in self.contact_address else f":{port}")

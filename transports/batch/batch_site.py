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
    """The environment variables from which a job reads its id and its node."""

    refusable_fields: ClassVar[tuple[str, ...]] = ("account", "directives")
    """Fields, beside size and queue, for which the scheduler may refuse a job. `doctor` names them."""

    outcome_patience_seconds: float = Field(default=90.0, ge=0)

    sizing: Sizing = Sizing()
    """How the size of a job follows from resource hints."""

    rules: PoolLimits = PoolLimits()
    """Limits on the number of jobs and on their life."""

    account: str | None = Field(default=None, pattern=r"^[\w.@+-]+$")
    """The account that the jobs are charged to."""

    job_name: str = Field(default="ref", pattern=r"^[A-Za-z][\w.-]*$")
    """First part of the jobs' names; the second is their size."""

    directives: tuple[str, ...] = ()
    """More options for the scheduler, one per line, without its prefix. They are the operator's trusted text."""

    prologue: tuple[str, ...] = ()
    """Shell lines that run before the worker starts, for example to load modules. The operator's trusted text."""

    python: str = sys.executable
    """Python interpreter on the nodes. This package and the providers must be installed for it."""

    shared_directory: Path = Field(default=Path("~/.climate-ref-prefect"), validate_default=True)
    """
    Directory for keys and the output of jobs. Coordinator and nodes must see it; only the user can read it.

    `~` and variables, as in `/scratch/$USER/ref`, are expanded by the coordinator.
    """

    local_directory: str = "${TMPDIR:-/tmp}"
    """Directory on the node for Dask's own files. The shell of the job expands it."""

    interface: str | None = None
    """Network interface of nodes and coordinator, for example `ib0`; empty for the default."""

    host: str | None = None
    """Address on which the coordinator listens; empty for the address of the interface."""

    ports: tuple[int, int] = _ANY_PORT
    """First and last port on which the coordinator may listen; zeros for any port."""

    contact_address: str | None = Field(default=None, pattern=r"^[\w.-]+(:\d+)?$")
    """
    Address at which workers connect, as `host` or `host:port`; empty for the one on which the coordinator listens.

    Set it if nodes reach the coordinator by another address than its own: behind NAT, or by a forwarded port.
    """

    tls: bool = True
    """Whether coordinator and workers accept only connections with this transport's keys."""

    outlive_coordinator: bool = True
    """Whether running executions go on when their coordinator ends, for example with a login session."""

    death_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long a job that has started tries to reach its coordinator."""

    _owner: str = PrivateAttr(default="")
    _marks: set[str] = PrivateAttr(default_factory=set)
    """Marks of the jobs that this transport has submitted."""

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
            raise ValueError(f"{expanded} is not absolute, and nodes have another current directory")
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
        """Return a path that the scheduler accepts in its directives. Raises `ValueError` for any other."""

    @abstractmethod
    def commands(self, *, patient: bool = True) -> BatchScheduler:
        """Return the scheduler's commands. Unless `patient`, they do not wait for accounting data that may be late."""

    @abstractmethod
    def sized(self, size: JobSize) -> dict[str, Any]:
        """Return dask-jobqueue's arguments that make a job of this size."""

    def new_mark(self) -> str:
        """Return the mark of a new job, which identifies the store whose executions it runs."""
        mark = new_mark(self._owner)
        self._marks.add(mark)
        return mark

    @property
    def shared(self) -> Path:
        """The shared directory, absolute."""
        return self.shared_directory.expanduser().absolute()

    @property
    def log_directory(self) -> Path:
        """The directory of the jobs' output."""
        return self.shared / "logs"

    @property
    def protocol(self) -> str:
        """Of Dask's comms."""
        return "tls://" if self.tls else "tcp://"

    def contact(self, address: str) -> str:
        """Return the address at which workers reach a coordinator that listens on an address."""
        if self.contact_address is None:
            return address
        protocol, port = address.partition("://")[0], address.rpartition(":")[2]
        return f"{protocol}://{self.contact_address}" + ("" if ":" in self.contact_address else f":{port}")

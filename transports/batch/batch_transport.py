"""What the transports to batch schedulers share: settings, job scripts, and a pool that opens when it is needed."""

import os
import sys
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.batch.abandoned_jobs import withdraw_waiting_jobs
from climate_ref_prefect.transports.batch.pool.execution_files import is_silent
from climate_ref_prefect.transports.batch.schedulers.job_marks import new_mark
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler, DaskJobQueue, JobVariables
from climate_ref_prefect.transports.batch.settings.job_script_quoting import check_one_line, names_variable
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize, Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.doctor_finding import Finding
from climate_ref_prefect.transports.port import Ended, Submission, Termination, Traits

if TYPE_CHECKING:
    from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
    from climate_ref_prefect.transports.batch.pool.pool_thread import Pool

_OPENING: Final = threading.Lock()
_ANY_PORT: Final = (0, 0)
_CHOICE: Final = 200
"""Executions that may wait to be chosen from: each takes a thread."""


class BatchTransport(TransportModel):
    """
    Runs executions in jobs of a batch scheduler, each job sized from the hints of what it runs.

    A subclass for a scheduler names its `kind`, `dask_jobqueue` and `job_variables`, and implements `check_path`,
    `commands` and `sized`. Its module must not import Dask: all kinds are imported to be listed.
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
    _withdrawing: threading.Thread | None = PrivateAttr(default=None)
    _pool: "Pool | None" = PrivateAttr(default=None)
    _keys: "CommsKeys | None" = PrivateAttr(default=None)
    _ended: set[str] = PrivateAttr(default_factory=set)
    """Jobs that were there when this was closed, and have ended since."""

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

    @property
    def slots(self) -> int:
        """Enough to keep all jobs busy, and as many to choose from."""
        at_once = self.rules.max_jobs * self.sizing.most_per_job
        return at_once + min(at_once, _CHOICE)

    def open(self, owner: str) -> None:
        """Have the scheduler end jobs that an earlier coordinator of this store has left waiting; returns at once."""
        self._owner = owner
        self._withdrawing = threading.Thread(
            target=withdraw_waiting_jobs,
            args=(self.commands(patient=False), owner, self._marks),
            name="withdraw-abandoned-jobs",
            daemon=True,
        )
        self._withdrawing.start()

    def check(self, resources: ResourceHint) -> ResourceHint:
        """Return the resources; raises `ResourcesRefusedError` if no queue of the site fits."""
        self.sizing.size(resources)
        return resources

    def render(self, resources: ResourceHint) -> str:
        """Return the job script for an execution, without submitting anything; raises as `check` does."""
        from climate_ref_prefect.transports.batch.dask.open_transport import render_script  # noqa: PLC0415 - imports Dask

        return render_script(self, self.sizing.size(resources))

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """Look at the site from here, and from within a job."""
        from climate_ref_prefect.transports.batch.doctor.check_batch_site import check_site  # noqa: PLC0415 - imports Dask

        yield from check_site(self, providers, scratch, wait_seconds)

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution for a job of its size."""
        submission = Submission(transport=self.name, directory=directory.absolute())
        self._open().submit(submission, self.sizing.size(resources), resources)
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""
        return self._open().wait(timeout_seconds)

    def cancel(self, submission: Submission) -> None:
        """Stop an execution, or keep it from starting; its job goes on to others."""
        pool = self._pool
        if pool is not None:
            pool.cancel(submission.directory)

    def explain(self, submission: Submission) -> Termination | None:
        """Return the scheduler's words on the end of an execution's job."""
        pool = self._pool
        return pool.explain(submission.directory) if pool is not None else None

    def is_over(self, directory: Path) -> bool | None:
        """Ask the scheduler about the job in which an execution was begun, unless its end was seen at the close."""
        execution = ExecutionDirectory(directory)
        claim = execution.read_claim()
        if claim is None or not claim.job_id:
            return None
        if claim.job_id in self._ended:
            return True
        record = self.commands(patient=False).look([claim.job_id]).get(claim.job_id)
        if record is None:
            return False
        return record.over and (record.confirmed or is_silent(execution, self.outcome_patience_seconds))

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Cancel all jobs, wait for their end, and remove the keys."""
        from climate_ref_prefect.transports.batch.dask.tls_keys import remove_abandoned  # noqa: PLC0415 - imports Dask

        with _OPENING:
            pool, self._pool = self._pool, None
            keys, self._keys = self._keys, None
        try:
            if pool is not None:
                # A claim has the number of its job alone, without the cluster that SLURM may name with it.
                self._ended.update(job_id.partition(";")[0] for job_id in pool.close(timeout_seconds))
        finally:
            if keys is not None:
                keys.close()
            if self._withdrawing is not None:
                self._withdrawing.join(timeout_seconds)
            remove_abandoned(self.shared)  # also where nothing was to be run, and no keys were made

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

    def _open(self) -> "Pool":
        from climate_ref_prefect.transports.batch.dask.open_transport import make_keys, open_pool  # noqa: PLC0415 - Dask

        with _OPENING:
            if self._pool is None:
                keys = make_keys(self)
                try:
                    self._pool = open_pool(self, keys)
                except BaseException:
                    if keys is not None:
                        keys.close()
                    raise
                self._keys = keys
            return self._pool

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

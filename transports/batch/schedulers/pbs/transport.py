"""`pbs`: executions in jobs of OpenPBS, PBS Pro, or the dialect of NCI's Gadi."""

import re
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import MARK, PbsCommands
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler, DaskJobQueue, JobVariables
from climate_ref_prefect.transports.batch.settings.job_script_quoting import directive
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_VARIABLES: Final = re.compile(r"\s*-v\s*[^\s#]+\s*$")
_PRINTABLE_ASCII: Final = re.compile(r"[ -~]*")


class PbsTransport(BatchTransport):
    """
    Jobs of PBS, started by `qsub` on this machine.

    A hint becomes `-l select=1:ncpus=..:mem=..`, `-l walltime=` and `-q`; in the dialect `gadi`, which forbids
    `select`, `-l ncpus=..,mem=..,jobfs=..`.
    """

    kind: Literal["pbs"] = "pbs"

    dask_jobqueue: ClassVar[DaskJobQueue] = DaskJobQueue("dask_jobqueue.pbs", "PBSCluster", "PBSJob")
    job_variables: ClassVar[JobVariables] = JobVariables(job_id=("PBS_JOBID",))

    refusable_fields: ClassVar[tuple[str, ...]] = ("account", "project", "storage", "directives")

    dialect: Literal["select", "gadi"] = "select"
    """The dialect in which the site expects resource requests."""

    project: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Project of the jobs: `-P`."""

    jobfs_mb: int = Field(default=1024, gt=0)
    """Disk on the node, in MiB, in the dialect `gadi`."""

    storage: tuple[str, ...] = ()
    """File systems that jobs use, in the dialect `gadi`: `gdata/ab12`, `scratch/ab12`."""

    @classmethod
    def check_path(cls, path: str) -> str:
        """Return a path that `qsub` accepts in `-o`. It calls others illegal, and PBS replaces `^array_index^`."""
        if not _PRINTABLE_ASCII.fullmatch(path):
            raise ValueError(
                f"{path} has characters that are not ASCII, which `qsub` does not accept: name another, or a link"
            )
        for sign in ("\\", "^array_index^"):
            if sign in path:
                raise ValueError(
                    f"{path} has {sign!r} in it, which PBS does not leave as it is: name another, or a link"
                )
        return path

    def commands(self, *, patient: bool = True) -> BatchScheduler:
        """Return the commands of PBS."""
        return PbsCommands()

    def sized(self, size: JobSize) -> dict[str, Any]:
        """Return the arguments of dask-jobqueue that become directives."""
        return {
            "queue": size.queue,
            "account": self.account,
            "resource_spec": self._resources(size),
            "walltime": size.walltime,
            "job_extra_directives": self._directives(),
        }

    def _resources(self, size: JobSize) -> str:
        if self.dialect == "gadi":
            return f"ncpus={size.cpu},mem={size.memory_mb}mb,jobfs={self.jobfs_mb}mb"
        return f"select=1:ncpus={size.cpu}:mem={size.memory_mb}mb"

    def _directives(self) -> list[str]:
        # A job that PBS runs again would find its own claims and run its executions again.
        options = ["-r n", "-j oe", f"-o {directive(f'{self.log_directory}/')}"]
        mark = f"{MARK}={self.new_mark()}"
        if self.project:
            options.append(f"-P {self.project}")
        if self.storage:
            options.append(f"-l storage={'+'.join(self.storage)}")
        return [*options, *_with_variable(self.directives, mark)]


def _with_variable(lines: tuple[str, ...], variable: str) -> list[str]:
    """Return directives that also set a variable. `qsub` accepts one list, so the operator's list is extended."""
    for number, line in enumerate(lines):
        if _VARIABLES.match(line):
            return [*lines[:number], f"{line.rstrip()},{variable}", *lines[number + 1 :]]
    return [f"-v {variable}", *lines]

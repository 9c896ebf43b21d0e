"""`slurm`: executions in jobs of SLURM."""

import os
import re
import shlex
from itertools import pairwise
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator

from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler, DaskJobQueue, JobVariables
from climate_ref_prefect.transports.batch.schedulers.slurm.commands import MARK, SlurmCommands
from climate_ref_prefect.transports.batch.settings.job_script_quoting import directive
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_CLUSTERS: Final = re.compile(r"(?:--clusters?[= ]|-M ?)([\w.,-]+)")
_COMMENT: Final = "--comment"
_SHORTEST_COMMENT: Final = "--com"
"""`sbatch` takes the beginning of an option's name for the name."""


class SlurmTransport(BatchTransport):
    """
    Jobs of SLURM, started by `sbatch` on this machine.

    A hint becomes `--mem`, `--cpus-per-task`, `--time` and `--partition`.
    """

    kind: Literal["slurm"] = "slurm"

    dask_jobqueue: ClassVar[DaskJobQueue] = DaskJobQueue("dask_jobqueue.slurm", "SLURMCluster", "SLURMJob")
    job_variables: ClassVar[JobVariables] = JobVariables(job_id=("SLURM_JOB_ID",), node=("SLURMD_NODENAME",))

    refusable_fields: ClassVar[tuple[str, ...]] = ("account", "qos", "constraint", "directives")

    constraint: str | None = Field(default=None, pattern=r"^[\w&|*,()\[\].-]+$")
    """Features that nodes must have: `--constraint`."""

    qos: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Quality of service: `--qos`."""

    @field_validator("directives")
    @classmethod
    def _leave_the_comment(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if any(_is_comment(word) for line in lines for word in _words(line)):
            raise ValueError("`--comment` is used already, to find jobs whose submission was not answered")
        return lines

    @classmethod
    def check_path(cls, path: str) -> str:
        """Return a path that SLURM accepts."""
        if "\\" in path:  # After a backslash SLURM does not replace `%j`.
            raise ValueError(
                f"{path} has a backslash, which SLURM does not accept in paths: name another directory, or a link"
            )
        return path

    def commands(self, *, patient: bool = True) -> BatchScheduler:
        """Return SLURM's commands. Unless `patient`, they do not wait for its accounting."""
        clusters = _clusters(self.directives)
        return SlurmCommands(clusters=clusters) if patient else SlurmCommands(0, clusters)

    def sized(self, size: JobSize) -> dict[str, Any]:
        """Return the arguments of dask-jobqueue that become directives."""
        return {
            "queue": size.queue,
            "account": self.account,
            "job_cpu": size.cpu,
            "job_mem": f"{size.memory_mb}M",
            "walltime": size.walltime,
            "job_extra_directives": self._directives(),
        }

    def _directives(self) -> list[str]:
        # A job that SLURM requeues would find its own claims and run its executions again.
        options = [
            "--no-requeue",
            directive(f"--output={_pattern(str(self.log_directory))}/%x-%j.log"),
            f"{MARK}{self.new_mark()}",
        ]
        if self.constraint:
            options.append(f"--constraint={self.constraint}")
        if self.qos:
            options.append(f"--qos={self.qos}")
        return [*options, *self.directives]


def _clusters(directives: tuple[str, ...]) -> str:
    """Return the clusters to which directives, or else the user's shell, send jobs, so that they can be asked."""
    words = [word for line in directives for word in _words(line)]
    options = [*words, *map(" ".join, pairwise(words))]
    found = [match[1] for option in options if (match := _CLUSTERS.fullmatch(option))]
    return found[-1] if found else os.environ.get("SBATCH_CLUSTERS", "")


def _pattern(path: str) -> str:
    """Return a path for `--output` of SLURM, which replaces `%j` and its like."""
    return path.replace("%", "%%")


def _is_comment(word: str) -> bool:
    name = word.partition("=")[0]
    return name.startswith(_SHORTEST_COMMENT) and _COMMENT.startswith(name)


def _words(line: str) -> list[str]:
    """Return the words of a directive, as `sbatch` reads it: with quotes, and a comment behind it."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # There is an open quote. `sbatch` will report it.
        return line.split()

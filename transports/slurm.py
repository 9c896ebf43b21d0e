"""`slurm`: executions in jobs of SLURM."""

import uuid
from typing import Any, ClassVar, Literal

from pydantic import Field

from climate_ref_prefect.transports.batch.jobqueue import Job, JobQueueCluster, SLURMCluster, SLURMJob
from climate_ref_prefect.transports.batch.scheduler import BatchScheduler
from climate_ref_prefect.transports.batch.sizing import JobSize
from climate_ref_prefect.transports.batch.slurm_commands import MARK, SlurmCommands
from climate_ref_prefect.transports.batch.transport import BatchTransport, hours_minutes_seconds


class SlurmTransport(BatchTransport):
    """
    Jobs of SLURM, started by `sbatch` on this machine.

    A hint becomes `--mem`, `--cpus-per-task`, `--time` and `--partition`.
    """

    kind: Literal["slurm"] = "slurm"

    cluster_class: ClassVar[type[JobQueueCluster]] = SLURMCluster
    job_class: ClassVar[type[Job]] = SLURMJob

    constraint: str | None = Field(default=None, pattern=r"^[\w&|*,()\[\].-]+$")
    """Features that nodes must have: `--constraint`."""

    qos: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Quality of service: `--qos`."""

    def commands(self) -> BatchScheduler:
        """Return SLURM's commands."""
        return SlurmCommands()

    def sized(self, size: JobSize) -> dict[str, Any]:
        """Return what dask-jobqueue makes directives of."""
        return {
            "queue": size.queue,
            "account": self.account,
            "job_cpu": size.cpu,
            "job_mem": f"{size.memory_mb}M",
            "walltime": hours_minutes_seconds(size.walltime_seconds),
            "job_extra_directives": self._directives(),
        }

    def _directives(self) -> list[str]:
        # A job that SLURM puts back into the queue would run what it has claimed: it finds its own claims there.
        options = ["--no-requeue", f"--output={self.log_directory}/%x-%j.log", f"{MARK}{uuid.uuid4().hex}"]
        if self.constraint:
            options.append(f"--constraint={self.constraint}")
        if self.qos:
            options.append(f"--qos={self.qos}")
        return [*options, *self.directives]

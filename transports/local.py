"""`local`: executions side by side on this machine, packed by their hints."""

import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr

from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.base import TransportModel, absolute
from climate_ref_prefect.transports.children import Children
from climate_ref_prefect.transports.machine import usable_cpu, usable_memory_mb
from climate_ref_prefect.transports.packing import Packing
from climate_ref_prefect.transports.port import Ended, Submission

_QUEUED_PER_CPU = 2
_QUEUED_AT_LEAST = 4


class ClippedResourcesWarning(UserWarning):
    """A hint is larger than the machine and was cut to it."""


class LocalTransport(TransportModel):
    """
    Child processes of this machine.

    The sums of `cpu` and `memory_mb` of what runs never exceed the machine, and what grows past its own
    `memory_mb` by more than `limits.memory_tolerance` (a tenth by default) is stopped as out of memory.
    """

    kind: Literal["local"] = "local"

    cpu: int | None = Field(default=None, gt=0)
    """Processors to share out; none for all that this process may use."""

    memory_mb: int | None = Field(default=None, gt=0)
    """Memory to share out, in MiB; none for all that this machine, or its cgroup, has."""

    _children: Children | None = PrivateAttr(default=None)

    @property
    def slots(self) -> int:
        """Enough to keep every processor busy, and some to choose from."""
        return _QUEUED_PER_CPU * self._cpu + _QUEUED_AT_LEAST

    @property
    def _cpu(self) -> int:
        return self.cpu or usable_cpu()

    @property
    def _memory_mb(self) -> int:
        return self.memory_mb or usable_memory_mb()

    def check(self, resources: ResourceHint) -> ResourceHint:
        """Return the resources, cut to the machine with a `ClippedResourcesWarning` where they are larger."""
        cpu, memory_mb = min(resources.cpu, self._cpu), min(resources.memory_mb, self._memory_mb)
        if (cpu, memory_mb) == (resources.cpu, resources.memory_mb):
            return resources
        warnings.warn(
            f"An execution asks for {resources.cpu} CPU and {resources.memory_mb} MiB; this machine gives it "
            f"{cpu} CPU and {memory_mb} MiB.",
            ClippedResourcesWarning,
            stacklevel=2,
        )
        return resources.model_copy(update={"cpu": cpu, "memory_mb": memory_mb})

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution; it starts as soon as it fits."""
        submission = Submission(transport=self.name, directory=absolute(directory))
        self._open().submit(submission, self.check(resources))
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""
        return self._open().wait(timeout_seconds)

    def cancel(self, submission: Submission) -> None:
        """Stop an execution with its whole process tree, or keep it from starting."""
        self._open().cancel(submission.directory)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop all that runs and the providers' servers."""
        if self._children is not None:
            self._children.close(timeout_seconds)
            self._children = None

    def _open(self) -> Children:
        if self._children is None:
            self._children = Children(Packing(cpu=self._cpu, memory_mb=self._memory_mb))
        return self._children

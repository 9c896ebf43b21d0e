"""`local`: executions side by side on this machine, packed by their hints."""

import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.resource_packing import Packing
from climate_ref_prefect.transports.this_machine.machine_resources import usable_cpu, usable_memory_mb
from climate_ref_prefect.transports.this_machine.subprocess_transport import SubprocessTransport

_QUEUED_PER_CPU = 2
_QUEUED_AT_LEAST = 4


class ClippedResourcesWarning(UserWarning):
    """A hint is larger than the machine and was reduced to its size."""


class LocalTransport(SubprocessTransport):
    """
    Child processes of this machine.

    The sums of `cpu` and `memory_mb` of what runs never exceed the machine, and what grows past its own
    `memory_mb` by more than `limits.memory_tolerance` (a tenth by default) is stopped as out of memory.
    """

    kind: Literal["local"] = "local"

    cpu: int | None = Field(default=None, gt=0)
    """Processors that executions may use; None for all that this process may use."""

    memory_mb: int | None = Field(default=None, gt=0)
    """Memory that executions may use, in MiB; None for all that this machine, or its cgroup, has."""

    @property
    def slots(self) -> int:
        """Enough executions to keep every processor busy, and some more to choose from."""
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

    def packing(self) -> Packing[Path]:
        """Return a packing of the whole machine, or of the share that was set."""
        return Packing(cpu=self._cpu, memory_mb=self._memory_mb)

"""The resource hint: memory, processors, time and queue that one execution needs."""

from datetime import timedelta

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel


class ResourceHint(FrozenModel):
    """
    Memory, processors, time and queue that one execution asks for.

    The defaults are those of the RFC. A hint is declared once, on the diagnostic. Every transport uses it to size the
    process or job that runs the execution.
    """

    memory_mb: int = Field(default=4096, gt=0)
    """Memory of the whole process tree, in MiB."""

    cpu: int = Field(default=1, gt=0)
    """Processors, and the thread count given to BLAS and OpenMP."""

    wall_clock: timedelta = Field(default=timedelta(hours=6), gt=timedelta(0))
    """Time limit, counted from the start of the execution, not from its submission."""

    queue: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """A routing tag such as `bigmem`; each site maps it to a queue of its own."""

    @property
    def wall_clock_seconds(self) -> float:
        """The time limit in seconds."""
        return self.wall_clock.total_seconds()

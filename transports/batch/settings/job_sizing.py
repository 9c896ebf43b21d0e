"""Compute the size of a job from a resource hint: rounded up to buckets, within what the site's queues allow."""

import math
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from pydantic import Field, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.iso_duration import Duration, PositiveDuration
from climate_ref_prefect.transports.port import ResourcesRefusedError

_STEPS_PER_DOUBLING: Final = 4
_SECONDS_PER_MINUTE: Final = 60


class Node(FrozenModel):
    """A job that executions of different sizes share; as a rule a whole node."""

    cpu: int = Field(gt=0)
    memory_mb: int = Field(gt=0)
    """In MiB, headroom included."""


class Queue(FrozenModel):
    """A queue (partition) of the site and its limits. An omitted limit means that there is none."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$")
    tags: frozenset[str] = frozenset()
    """Values of `ResourceHint.queue` that mean this queue."""

    only_tagged: bool = False
    """Whether it accepts only executions with one of its tags."""

    memory_mb: int | None = Field(default=None, gt=0)
    """Largest memory of a job, in MiB."""
    cpu: int | None = Field(default=None, gt=0)
    """Most processors of a job."""
    wall_clock: PositiveDuration | None = None
    """Longest walltime of a job."""

    def has_room_for(self, node: Node) -> bool:
        """Whether jobs of this size are allowed here."""
        return node.cpu <= (self.cpu or node.cpu) and node.memory_mb <= (self.memory_mb or node.memory_mb)


class JobSize(FrozenModel):
    """The resources that a job requests. Executions whose jobs have the same size share a pool."""

    cpu: int
    memory_mb: int
    walltime_seconds: int
    queue: str | None
    """None for the scheduler's default."""

    def __hash__(self) -> int:
        """Return the hash, in half the time that it takes a model to look up its fields: planning asks often."""
        return hash((self.cpu, self.memory_mb, self.walltime_seconds, self.queue))

    @property
    def label(self) -> str:
        """Name for messages: `4c-16G-2h`, and the queue."""
        size = f"{self.cpu}c-{_short(self.memory_mb / 1024, 'G')}-{_short(self.walltime_seconds / 3600, 'h')}"
        return f"{size}-{self.queue}" if self.queue else size

    @property
    def walltime(self) -> str:
        """The walltime as schedulers read it: `26:30:00`."""
        minutes, seconds = divmod(self.walltime_seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}"


class Sizing(FrozenModel):
    """How job sizes follow from resource hints at a site."""

    queues: tuple[Queue, ...] = ()
    """The queues in order of preference; empty for the scheduler's default queue, without limits."""

    headroom_mb: int = Field(default=256, ge=0)
    """Memory for the pilot and the provider server, in MiB, in addition to the memory of the executions."""

    walltime_margin: Duration = timedelta(minutes=5)
    """Time in addition to `wall_clock`: to start, to import the provider, and to write the outcome."""

    least_walltime: Duration = timedelta(0)
    """The shortest walltime of a job, so that short executions can share one; 0 for the time of one execution."""

    slots_per_job: int = Field(default=1, gt=0)
    """Number of executions of one size that run in a job at a time, for sites that allocate whole nodes."""

    node: Node | None = None
    """
    Size of all jobs, into which executions of every size are packed. A larger execution gets a job of its own.

    None for jobs in the sizes of their executions, so that the scheduler enforces the memory of each execution.
    """

    @model_validator(mode="after")
    def _has_room(self) -> "Sizing":
        if self.node is not None and (self.slots_per_job > 1 or self.node.memory_mb <= self.headroom_mb):
            raise ValueError("node must have more memory than headroom_mb, and leaves slots_per_job at 1")
        if self.node is not None and self.queues and not any(queue.has_room_for(self.node) for queue in self.queues):
            raise ValueError(f"no queue allows a node of {self.node.cpu} CPU and {self.node.memory_mb} MiB")
        return self

    @property
    def smallest(self) -> "Sizing":
        """The same sizing for a single small execution that shares its job with no other."""
        return self.model_copy(update={"least_walltime": timedelta(0), "slots_per_job": 1, "node": None})

    @property
    def most_per_job(self) -> int:
        """How many executions may run in one job at a time."""
        return self.node.cpu if self.node else self.slots_per_job

    def size(self, resources: ResourceHint) -> JobSize:
        """
        Return the job for an execution.

        Raises
        ------
        ResourcesRefusedError
            If the site has no queue with that tag, or none that is large enough.
        """
        asked = self._asked(resources)
        if not self.queues and resources.queue is None:
            return self._rounded(asked, None)
        candidates = self._candidates(resources.queue)
        for queue in candidates:
            if not _excess(asked, queue):
                return self._rounded(asked, queue)
        told = "; ".join(f"{queue.name} allows {_excess(asked, queue)}" for queue in candidates)
        raise ResourcesRefusedError(
            f"No queue fits a job of {asked.cpu} CPU, {asked.memory_mb} MiB and {_minutes(asked.walltime_seconds)} "
            f"({self._parts(resources, asked)}): {told}."
        )

    def _parts(self, resources: ResourceHint, asked: JobSize) -> str:
        if self.node is not None and asked.memory_mb == self.node.memory_mb:
            return "`sizing.node`, into which executions are packed"
        several = f"{self.slots_per_job} times " if self.slots_per_job > 1 else ""
        return f"{several}{resources.memory_mb} MiB for the execution, {self.headroom_mb} MiB for its worker"

    def _asked(self, resources: ResourceHint) -> JobSize:
        cpu = resources.cpu * self.slots_per_job
        memory_mb = resources.memory_mb * self.slots_per_job + self.headroom_mb
        node = self.node
        if node is not None and cpu <= node.cpu and memory_mb <= node.memory_mb:
            cpu, memory_mb = node.cpu, node.memory_mb
        walltime_seconds = math.ceil((resources.wall_clock + self.walltime_margin).total_seconds())
        return JobSize(cpu=cpu, memory_mb=memory_mb, walltime_seconds=walltime_seconds, queue=None)

    def _candidates(self, tag: str | None) -> list[Queue]:
        if tag is None:
            found = [queue for queue in self.queues if not queue.only_tagged]
        else:
            found = [queue for queue in self.queues if tag in queue.tags]
        if found:
            return found
        known = ", ".join(sorted(set().union(*(queue.tags for queue in self.queues)))) or "none"
        asks = f"for queue {tag!r}" if tag else "for no special queue"
        raise ResourcesRefusedError(f"An execution asks {asks}; this site's profile maps these tags: {known}.")

    def _rounded(self, asked: JobSize, queue: Queue | None) -> JobSize:
        walltime = max(asked.walltime_seconds, self.least_walltime.total_seconds())
        minutes = _bucket(math.ceil(walltime / _SECONDS_PER_MINUTE))
        longest = queue.wall_clock.total_seconds() if queue and queue.wall_clock else math.inf
        largest = queue.memory_mb if queue and queue.memory_mb else math.inf
        return JobSize(
            cpu=asked.cpu,
            memory_mb=int(min(self._rounded_memory_mb(asked.memory_mb), largest)),
            walltime_seconds=int(min(minutes * _SECONDS_PER_MINUTE, longest)),
            queue=queue.name if queue else None,
        )

    def _rounded_memory_mb(self, asked_mb: int) -> int:
        if self.node is not None and asked_mb == self.node.memory_mb:
            return asked_mb
        # The headroom is added after rounding, because hints are usually round numbers.
        return _bucket(asked_mb - self.headroom_mb) + self.headroom_mb


def _bucket(value: int) -> int:
    """Round up to one of four steps per doubling, so that there are few sizes and at most a quarter is wasted."""
    step = max(1, (1 << (value - 1).bit_length()) // 2 // _STEPS_PER_DOUBLING)
    return math.ceil(value / step) * step


def _excess(asked: JobSize, queue: Queue) -> str:
    return ", ".join(_excesses(asked, queue))


def _excesses(asked: JobSize, queue: Queue) -> Iterable[str]:
    if queue.cpu is not None and asked.cpu > queue.cpu:
        yield f"{queue.cpu} CPU"
    if queue.memory_mb is not None and asked.memory_mb > queue.memory_mb:
        yield f"{queue.memory_mb} MiB"
    if queue.wall_clock is not None and asked.walltime_seconds > queue.wall_clock.total_seconds():
        yield _minutes(queue.wall_clock.total_seconds())


def _minutes(seconds: float) -> str:
    return f"{seconds / _SECONDS_PER_MINUTE:.0f} min"


def _short(value: float, unit: str) -> str:
    return f"{value:.2g}{unit}" if value < 10 else f"{value:.0f}{unit}"  # noqa: PLR2004 - two digits are enough

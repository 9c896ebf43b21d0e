"""Where a job fits, and in which words the scheduler says that it does not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.pbs.jobs import Job, Slot
from tests.pbs.resources import Chunk
from tests.pbs.settings import NodeSettings, QueueSettings

WAITS = "Not Running: Not enough free nodes available"


@dataclass
class FreeNode:
    """What is free on a node."""

    settings: NodeSettings
    cpus: list[int] = field(default_factory=list)
    memory_kb: int = 0

    def take(self, chunk: Chunk) -> Slot | None:
        """Take a chunk, if it fits."""
        if chunk.ncpus > len(self.cpus) or chunk.memory_kb > self.memory_kb:
            return None
        taken, self.cpus = self.cpus[: chunk.ncpus], self.cpus[chunk.ncpus :]
        self.memory_kb -= chunk.memory_kb
        return Slot(self.settings.name, tuple(taken), chunk.memory_kb)


def free_nodes(nodes: Iterable[NodeSettings], slots: Sequence[Slot] = ()) -> list[FreeNode]:
    """Return what is free on each node beside `slots`."""
    return [_free(node, [slot for slot in slots if slot.node == node.name]) for node in nodes]


def place(chunks: Iterable[Chunk], nodes: Sequence[FreeNode]) -> tuple[Slot, ...] | None:
    """Take a slot for each chunk, or return None; then what is free is as good as lost."""
    slots: list[Slot] = []
    for chunk in chunks:
        for _ in range(chunk.count):
            slot = next((slot for node in nodes if (slot := node.take(chunk))), None)
            if slot is None:
                return None
            slots.append(slot)
    return tuple(slots)


def why_never(job: Job, nodes: Sequence[NodeSettings]) -> str | None:
    """Return why a job could not run even on an empty cluster; PBS itself does not always call that never."""
    if place(job.request.chunks, free_nodes(nodes)):
        return None
    cpus = [node.ncpus for node in nodes]
    for chunk in job.request.chunks:
        if chunk.ncpus > max(cpus):
            return _insufficient("ncpus", chunk.ncpus, cpus, "")
    memory_kb = [node.memory_mb * 1024 for node in nodes]
    for chunk in job.request.chunks:
        if chunk.memory_kb > max(memory_kb):
            return _insufficient("mem", chunk.memory_kb, memory_kb, "kb")
    return "Can Never Run: Not enough total nodes available"


def why_not_now(job: Job, queue: QueueSettings, running: Iterable[Job]) -> str | None:
    """Return why the queue does not run a job now."""
    if not queue.started:
        return "Not Running: Queue not started."
    there = sum(other.queue == queue.name for other in running)
    if queue.max_run is not None and there >= queue.max_run:
        return f"Not Running: User has reached queue {queue.name} running job limit."
    return None


def _free(node: NodeSettings, slots: Sequence[Slot]) -> FreeNode:
    busy = {cpu for slot in slots for cpu in slot.cpus}
    used_kb = sum(slot.memory_kb for slot in slots)
    free_cpus = [cpu for cpu in range(node.ncpus) if cpu not in busy]
    return FreeNode(node, free_cpus, node.memory_mb * 1024 - used_kb)


def _insufficient(resource: str, asked: int, of_nodes: Sequence[int], unit: str) -> str:
    # Recorded: `Can Never Run` where all nodes together have too little, `Not Running` where each of them has.
    never = "Can Never Run" if asked > sum(of_nodes) else "Not Running"
    amounts = f"(R: {asked}{unit} A: {of_nodes[-1]}{unit} T: {sum(of_nodes)}{unit})"
    return f"{never}: Insufficient amount of resource: {resource} {amounts}"

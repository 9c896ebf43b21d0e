"""Which of the waiting executions may start: those whose sizes fit together, with none passed over for ever."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from climate_ref_prefect.diagnostics.resources import ResourceHint

Item = TypeVar("Item", bound=Hashable)
OVERTAKEN_AT_MOST = 16
"""How many later items may start before one that is too large for now; then they wait for it."""


@dataclass
class Packing(Generic[Item]):
    """
    Admits items in the order they came, later ones where an earlier one does not fit yet.

    Parameters
    ----------
    cpu
        Processors to share out.
    memory_mb
        Memory to share out, in MiB.
    items
        How many may run at once.
    """

    cpu: float = math.inf
    memory_mb: float = math.inf
    items: float = math.inf
    _waiting: dict[Item, ResourceHint] = field(default_factory=dict)
    _running: dict[Item, ResourceHint] = field(default_factory=dict)
    _overtaken: dict[Item, int] = field(default_factory=dict)

    def add(self, item: Item, resources: ResourceHint) -> None:
        """Let an item wait for its turn."""
        self._waiting[item] = resources
        self._overtaken[item] = 0

    def admit(self) -> list[Item]:
        """Return what may start now; it counts as running until it is released."""
        admitted: list[Item] = []
        passed: list[Item] = []
        for item, resources in self._waiting.items():
            if self._fits(resources) and self._may_overtake(passed):
                self._running[item] = resources
                admitted.append(item)
                for other in passed:
                    self._overtaken[other] += 1
            else:
                passed.append(item)
        for item in admitted:
            self._leave_queue(item)
        return admitted

    def release(self, item: Item) -> None:
        """Give back what an item had, or take it out of the queue."""
        self._running.pop(item, None)
        self._leave_queue(item)

    def is_waiting(self, item: Item) -> bool:
        """Whether an item has not started yet."""
        return item in self._waiting

    def _fits(self, resources: ResourceHint) -> bool:
        running = self._running.values()
        return (
            len(running) < self.items
            and sum(other.cpu for other in running) + resources.cpu <= self.cpu
            and sum(other.memory_mb for other in running) + resources.memory_mb <= self.memory_mb
        )

    def _may_overtake(self, passed: list[Item]) -> bool:
        # Whoever overtook a later one overtook the first of them, too.
        return not passed or self._overtaken[passed[0]] < OVERTAKEN_AT_MOST

    def _leave_queue(self, item: Item) -> None:
        self._waiting.pop(item, None)
        self._overtaken.pop(item, None)

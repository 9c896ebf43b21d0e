"""Packing: choose waiting executions whose sizes fit together, so that none is skipped for ever."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

Item = TypeVar("Item", bound=Hashable)
OVERTAKEN_AT_MOST = 16
"""How many later items may overtake one that does not fit yet. After that they wait for it."""


@dataclass
class Packing(Generic[Item]):
    """
    Admits items in order of arrival, and later ones while an earlier one does not fit yet.

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
    _used_cpu: int = 0
    _used_memory_mb: int = 0

    def add(self, item: Item, resources: ResourceHint) -> None:
        """Add an item to the queue."""
        self._waiting[item] = resources
        self._overtaken[item] = 0

    def admit(self) -> list[Item]:
        """Return the items that may start now. They count as running until they are released."""
        admitted: list[Item] = []
        passed: list[Item] = []
        for item, resources in self._waiting.items():
            if not (self._has_room() and self._may_overtake(passed)):
                break  # None of the rest may start either.
            if self._fits(resources):
                self._start(item, resources)
                admitted.append(item)
                for other in passed:
                    self._overtaken[other] += 1
            else:
                passed.append(item)
        for item in admitted:
            self._leave_queue(item)
        return admitted

    def release(self, item: Item) -> None:
        """Release the resources of an item, or remove it from the queue."""
        resources = self._running.pop(item, None)
        if resources is not None:
            self._used_cpu -= resources.cpu
            self._used_memory_mb -= resources.memory_mb
        self._leave_queue(item)

    def is_waiting(self, item: Item) -> bool:
        """Whether an item has not started yet."""
        return item in self._waiting

    def _start(self, item: Item, resources: ResourceHint) -> None:
        self._running[item] = resources
        self._used_cpu += resources.cpu
        self._used_memory_mb += resources.memory_mb

    def _has_room(self) -> bool:
        """Whether the smallest item that there can be would fit."""
        has_cpu, has_memory = self._used_cpu < self.cpu, self._used_memory_mb < self.memory_mb
        return len(self._running) < self.items and has_cpu and has_memory

    def _fits(self, resources: ResourceHint) -> bool:
        return (
            self._used_cpu + resources.cpu <= self.cpu and self._used_memory_mb + resources.memory_mb <= self.memory_mb
        )

    def _may_overtake(self, passed: list[Item]) -> bool:
        # An item that overtook a later one has overtaken the first one, too.
        return not passed or self._overtaken[passed[0]] < OVERTAKEN_AT_MOST

    def _leave_queue(self, item: Item) -> None:
        self._waiting.pop(item, None)
        self._overtaken.pop(item, None)

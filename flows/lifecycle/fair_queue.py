"""A fair queue of what waits for dispatch: sizes take turns, so that none blocks the others."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.planning.plan import PlannedExecution

Size: TypeAlias = tuple[str | None, int, int]
Waiting: TypeAlias = Attempt | PlannedExecution


class FairQueue:
    """
    What waits, in order of arrival, except that a size with fewer running attempts comes first.

    Executions that are planned wait here without having been allocated, so that nothing is recorded of what does not
    get its turn.
    """

    def __init__(self) -> None:
        self._by_size: dict[Size, deque[Waiting]] = {}
        """The line of each size, which stays when it is empty: the sizes keep their order."""
        self._number = 0

    def extend(self, waiting: Iterable[Waiting]) -> None:
        """Add attempts or planned executions at the end of the queue."""
        for one in waiting:
            self._line_for(one).append(one)

    def put_first(self, attempts: Sequence[Attempt]) -> None:
        """Put attempts back that have been allocated for the planned executions that `take_planned` returned."""
        for attempt in reversed(attempts):
            self._line_for(attempt).appendleft(attempt)

    def take(self, under_way: Iterable[Attempt]) -> Attempt | None:
        """
        Remove and return the next attempt; None if what comes next has not been allocated yet.

        Raises
        ------
        IndexError
            If the queue is empty.
        """
        if not self._number:
            raise IndexError("no attempt waits")
        size = min(self._waiting_sizes(), key=self._counted(under_way).__getitem__)
        first = self._by_size[size][0]
        if not isinstance(first, Attempt):
            return None
        self._remove_first(size)
        return first

    def take_planned(self, turns: int, under_way: Iterable[Attempt]) -> list[PlannedExecution]:
        """
        Remove and return the planned executions that are dispatched in the next turns.

        A turn of a size that has an allocated attempt first returns nothing, so that, with those, no more are allocated
        than are dispatched in so many turns.
        """
        counts, left = self._counted(under_way), Counter({size: len(line) for size, line in self._by_size.items()})
        taken = list[PlannedExecution]()
        for _ in range(turns):
            if not (sizes := [size for size, number in left.items() if number]):
                break
            size = min(sizes, key=counts.__getitem__)
            counts[size] += 1
            left[size] -= 1
            first = self._by_size[size][0]
            if not isinstance(first, Attempt):
                self._remove_first(size)
                taken.append(first)
        return taken

    def _counted(self, under_way: Iterable[Attempt]) -> Counter[Size]:
        return Counter(map(_size, under_way)) if len(self._by_size) > 1 else Counter()

    def _line_for(self, one: Waiting) -> deque[Waiting]:
        """Return the line of a size, to which one is about to be added."""
        size = _size(one)
        self._number += 1
        return self._by_size.setdefault(size, deque())

    def _waiting_sizes(self) -> list[Size]:
        return [size for size, waiting in self._by_size.items() if waiting]

    def _remove_first(self, size: Size) -> None:
        self._by_size[size].popleft()
        self._number -= 1

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Attempt]:
        """Iterate over the attempts, which have been allocated."""
        waiting = (one for waiting in self._by_size.values() for one in waiting)
        return (one for one in waiting if isinstance(one, Attempt))


def _size(waiting: Waiting) -> Size:
    asked = waiting.granted if isinstance(waiting, PlannedExecution) else waiting.record.resources
    return asked.queue, asked.cpu, asked.memory_mb

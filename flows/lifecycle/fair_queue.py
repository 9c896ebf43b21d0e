"""A fair queue of the attempts that wait for dispatch: sizes take turns, so that none blocks the others."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from climate_ref_prefect.flows.lifecycle.attempt import Attempt


class FairQueue:
    """Attempts in order of arrival, except that a size with fewer running attempts comes first."""

    def __init__(self) -> None:
        self._by_size: dict[object, deque[Attempt]] = {}

    def extend(self, attempts: Iterable[Attempt]) -> None:
        """Add attempts to the queue."""
        for attempt in attempts:
            self._by_size.setdefault(_size(attempt), deque()).append(attempt)

    def take(self, under_way: Iterable[Attempt]) -> Attempt:
        """Remove and return the next attempt. Raises `IndexError` if the queue is empty."""
        if not self._by_size:
            raise IndexError("no attempt waits")
        taken = Counter(map(_size, under_way)) if len(self._by_size) > 1 else Counter()
        size = min(self._by_size, key=taken.__getitem__)
        attempt = self._by_size[size].popleft()
        if not self._by_size[size]:
            del self._by_size[size]
        return attempt

    def __len__(self) -> int:
        return sum(map(len, self._by_size.values()))

    def __iter__(self) -> Iterator[Attempt]:
        return (attempt for waiting in self._by_size.values() for attempt in waiting)


def _size(attempt: Attempt) -> object:
    asked = attempt.record.resources
    return asked.queue, asked.cpu, asked.memory_mb

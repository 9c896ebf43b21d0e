"""The attempts that wait to be dispatched: sizes take turns, so that a full queue keeps nobody else from running."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from climate_ref_prefect.flows.attempt import Attempt


class Turns:
    """Attempts in the order in which they came, but those of a size that has fewer under way come before others."""

    def __init__(self) -> None:
        self._by_size: dict[object, deque[Attempt]] = {}

    def extend(self, attempts: Iterable[Attempt]) -> None:
        """Let attempts wait."""
        for attempt in attempts:
            self._by_size.setdefault(_size(attempt), deque()).append(attempt)

    def take(self, under_way: Iterable[Attempt]) -> Attempt:
        """Return whose turn it is; raises `IndexError` where none waits."""
        if not self._by_size:
            raise IndexError("no attempt waits")
        taken = Counter(map(_size, under_way)) if len(self._by_size) > 1 else Counter()
        size = min(self._by_size, key=taken.__getitem__)
        attempt = self._by_size[size].popleft()
        if not self._by_size[size]:
            del self._by_size[size]
        return attempt

    def clear(self) -> None:
        """Let nothing wait any more."""
        self._by_size.clear()

    def __len__(self) -> int:
        return sum(map(len, self._by_size.values()))

    def __iter__(self) -> Iterator[Attempt]:
        return (attempt for waiting in self._by_size.values() for attempt in waiting)


def _size(attempt: Attempt) -> object:
    asked = attempt.allocated.resources
    return asked.queue, asked.cpu, asked.memory_mb

"""When a job is offered again to a scheduler that takes none now."""

import time
from datetime import timedelta
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_DOUBLINGS: Final = 6
_TRIES_AT_A_LIMIT: Final = 6


class Offers:
    """
    Offers in a row that were not taken.

    Parameters
    ----------
    patience
        For how long jobs are offered to a scheduler that does not answer.
    """

    def __init__(self, patience: timedelta) -> None:
        self._patience_seconds = patience.total_seconds()
        self._failed = 0
        self._since = 0.0
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether a job may be offered now."""
        return time.monotonic() >= self._next

    @property
    def failing(self) -> bool:
        """Whether the last offer was not taken."""
        return self._failed > 0

    def succeed(self) -> None:
        """Take note of a job that was taken."""
        self._failed, self._next = 0, 0.0

    def fail(self) -> None:
        """Take note of a job that was not taken; the next may be offered later, and later each time."""
        now = time.monotonic()
        if not self._failed:
            self._since = now
        self._failed += 1
        pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** min(self._failed, _DOUBLINGS)
        self._next = now + min(pause_seconds, _LONGEST_PAUSE_SECONDS)

    def is_hopeless(self, *, at_limit: bool, has_jobs: bool) -> bool:
        """
        Whether to give up what waits.

        At a limit on jobs there is hope while the pool has jobs: when they end there is room for others.
        """
        if at_limit:
            return not has_jobs and self._failed >= _TRIES_AT_A_LIMIT
        return time.monotonic() - self._since > self._patience_seconds

"""When a job of one size is offered again to a scheduler that takes none of it now."""

import time
from datetime import timedelta
from typing import Final

from climate_ref_prefect.transports.batch.scheduler import SubmissionLimitError, UnreadAnswerError

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_DOUBLINGS: Final = 6
_TRIES_AT_A_LIMIT: Final = 6
_ANSWERS_UNREAD: Final = 3


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
        self._next = 0.0
        self._silent_since: float | None = None
        self._tries_at_a_limit = 0
        self._unread = 0

    @property
    def due(self) -> bool:
        """Whether a job may be offered now."""
        return time.monotonic() >= self._next

    @property
    def failing(self) -> bool:
        """Whether the last offer was not taken."""
        return self._failed > 0

    @property
    def hopeless(self) -> bool:
        """Whether to give up what waits."""
        silent = self._silent_since is not None and time.monotonic() - self._silent_since > self._patience_seconds
        return silent or self._tries_at_a_limit >= _TRIES_AT_A_LIMIT or self._unread >= _ANSWERS_UNREAD

    def fail(self, error: Exception, *, has_jobs: bool) -> None:
        """Take note of an offer that was not taken, and why."""
        if isinstance(error, UnreadAnswerError):
            self.fail_unread()
        elif isinstance(error, SubmissionLimitError):
            self.fail_at_limit(has_jobs=has_jobs)
        else:
            self.fail_silently()

    def fail_at_limit(self, *, has_jobs: bool) -> None:
        """Take note of a limit on jobs; there is hope while the pool has any: when they end there is room."""
        self._silent_since = None
        self._tries_at_a_limit = 0 if has_jobs else self._tries_at_a_limit + 1
        self._pause()

    def fail_silently(self) -> None:
        """Take note of a scheduler that has not answered."""
        if self._silent_since is None:
            self._silent_since = time.monotonic()
        self._tries_at_a_limit = 0
        self._pause()

    def fail_unread(self) -> None:
        """Take note of an answer without the number of the job: each try leaves a job that has to be found."""
        self._unread += 1
        self._pause()

    def _pause(self) -> None:
        self._failed += 1
        pause_seconds = _FIRST_PAUSE_SECONDS * 2 ** min(self._failed, _DOUBLINGS)
        self._next = time.monotonic() + min(pause_seconds, _LONGEST_PAUSE_SECONDS)

"""The pause before the next submission of a size, after a job was not accepted or was lost while it started."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 2.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_DOUBLINGS: Final = 5
_TRIES_AT_A_LIMIT: Final = 6
_UNREADABLE_ANSWERS: Final = 3
_IN_A_ROW_SECONDS: Final = 1800.0
"""A failure so long after the next submission was due begins a new row: nothing was to be submitted meanwhile."""


@dataclass(frozen=True)
class SubmitBackoff:
    """
    Consecutive failures to start a job of one size.

    Times are seconds of the monotonic clock.
    """

    failures: int = 0
    not_before: float = -math.inf
    """When the next job may be submitted."""
    silent_since: float | None = None
    """Since when no submission was answered, or no job has run anything."""
    tries_at_a_limit: int = 0
    """How many times a limit on jobs was reached although the pool had no job."""
    unreadable: int = 0
    """How many submissions were answered without an id."""

    def is_due(self, now: float) -> bool:
        """Return whether a job may be submitted now."""
        return now >= self.not_before

    def is_exhausted(self, now: float, timeout_seconds: float) -> bool:
        """Return whether the executions that wait for such a job should be given up."""
        silent = self.silent_since is not None and now - self.silent_since > timeout_seconds
        return silent or self.tries_at_a_limit >= _TRIES_AT_A_LIMIT or self.unreadable >= _UNREADABLE_ANSWERS

    def after_silence(self, now: float) -> "SubmitBackoff":
        """Return the backoff after a scheduler has not answered, or accepts no job now."""
        in_a_row = now - self.not_before <= _IN_A_ROW_SECONDS
        since = self.silent_since if in_a_row and self.silent_since is not None else now
        return dataclasses.replace(self, silent_since=since, tries_at_a_limit=0)._paused(now)

    def after_limit(self, now: float, *, has_jobs: bool) -> "SubmitBackoff":
        """Return the backoff after a limit on jobs was reached. While the pool has jobs, their end may help."""
        tries = 0 if has_jobs else self.tries_at_a_limit + 1
        return dataclasses.replace(self, silent_since=None, tries_at_a_limit=tries)._paused(now)

    def after_unreadable_answer(self, now: float) -> "SubmitBackoff":
        """Return the backoff after an answer without an id, which leaves a job that has to be found."""
        return dataclasses.replace(self, unreadable=self.unreadable + 1)._paused(now)

    def after_lost_start(self, now: float) -> "SubmitBackoff":
        """Return the backoff after a job was lost while it started. Several at the same time count as one."""
        if not self.is_due(now):
            return self
        since = now if self.silent_since is None else self.silent_since
        return dataclasses.replace(self, silent_since=since)._paused(now)

    def _paused(self, now: float) -> "SubmitBackoff":
        pause_seconds = min(_FIRST_PAUSE_SECONDS * 2 ** min(self.failures, _DOUBLINGS), _LONGEST_PAUSE_SECONDS)
        return dataclasses.replace(self, failures=self.failures + 1, not_before=now + pause_seconds)

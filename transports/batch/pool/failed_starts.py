"""Jobs of one size that ended before they ran anything: when the next one is submitted, and when none is."""

import dataclasses
from dataclasses import dataclass, field
from typing import Final

from climate_ref_prefect.transports.batch.pool.pool_actions import StartFailed
from climate_ref_prefect.transports.batch.pool.submit_backoff import SubmitBackoff
from climate_ref_prefect.transports.batch.pool.termination import (
    termination_by_failed_starts,
    termination_by_lost_starts,
)
from climate_ref_prefect.transports.port import Termination

_OWN_FAULTS_ALLOWED: Final = 2
_LOSSES_ALLOWED: Final = 9
"""How many starts may be lost, at different times, however long it takes: jobs may wait for hours in the queue."""


@dataclass(frozen=True)
class FailedStarts:
    """
    Failed starts since a job of that size last ran something.

    Only failures whose cause lies in the job itself count. A node failure, a preemption or an operator who cancels jobs
    may end any number of jobs and says nothing about the next one. They only make the pause before it longer.
    """

    own_faults: int = 0
    backoff: SubmitBackoff = field(default_factory=SubmitBackoff)

    def after(self, failed: StartFailed, now: float) -> "FailedStarts":
        """Return the failed starts with one more."""
        if failed.own_fault:
            return dataclasses.replace(self, own_faults=self.own_faults + 1)
        return dataclasses.replace(self, backoff=self.backoff.after_lost_start(now))

    def cause_to_reject(
        self, failed: StartFailed, scheduler: str, now: float, timeout_seconds: float
    ) -> Termination | None:
        """
        Return why no more jobs of this size are submitted; None while they are.

        Parameters
        ----------
        failed
            The last job that failed to start.
        scheduler
            Name of the scheduler, for the message.
        now
            Seconds of the monotonic clock.
        timeout_seconds
            For how long jobs are submitted although they are lost while they start.
        """
        if self.own_faults > _OWN_FAULTS_ALLOWED:
            return termination_by_failed_starts(failed, scheduler, self.own_faults)
        if self.backoff.failures > _LOSSES_ALLOWED and self.backoff.is_exhausted(now, timeout_seconds):
            return termination_by_lost_starts(failed, scheduler, timeout_seconds)
        return None

"""Looks after a running lifecycle: reports its progress, and stops it when its flow run is cancelled."""

import time
from typing import Final

from prefect.client.orchestration import get_client
from prefect.exceptions import CancelledRun
from prefect.runtime import flow_run

from climate_ref_prefect.flows.artifacts import Progress
from climate_ref_prefect.flows.lifecycle import Lifecycle
from climate_ref_prefect.flows.policy import Decision

_EVERY_SECONDS: Final = 2.0


class Watcher:
    """
    Called by the lifecycle about once a second; does something every few seconds.

    A flow run that was started directly is told nothing when it is cancelled in the UI: it has to look.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lifecycle: Lifecycle | None = None
        self._next = time.monotonic() + _EVERY_SECONDS
        self._client = get_client(sync_client=True)

    def follow(self, lifecycle: Lifecycle) -> None:
        """Watch over this one."""
        self._lifecycle = lifecycle

    def look(self) -> None:
        """
        Report progress and look for a cancellation, unless that was done a moment ago.

        Raises
        ------
        CancelledRun
            If the flow run is being cancelled.
        """
        if time.monotonic() < self._next or self._lifecycle is None:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        self._report(self._lifecycle)
        if flow_run.id is None:
            return
        state = self._client.read_flow_run(flow_run.id).state
        if state is not None and (state.is_cancelling() or state.is_cancelled()):
            raise CancelledRun("The flow run was cancelled.")

    def finish(self) -> None:
        """Report the end, where there was anything to do."""
        if self._lifecycle is not None and any(self._lifecycle.finished.values()):
            self._report(self._lifecycle)

    def _report(self, lifecycle: Lifecycle) -> None:
        finished = lifecycle.finished
        self._progress.report(
            done=sum(finished.values()) - finished[Decision.RETRY],
            failed=finished[Decision.GIVE_UP] + finished[Decision.RETRY_LATER],
            unfinished=lifecycle.unfinished,
        )

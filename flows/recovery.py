"""What a coordinator that died has left behind: found, confirmed dead, and given its last word."""

import os
import signal
import time
from contextlib import suppress
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FailureKind, Telemetry
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.store.values import Finalisation, UnfinishedExecution
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory

_PATIENCE_SECONDS: Final = 15.0
"""How long a supervisor may take to notice that its coordinator is gone and to end its tree."""
_POLL_SECONDS: Final = 0.1


class Leftovers(FrozenModel):
    """What was done about the executions of a dead coordinator."""

    settled: int = 0
    """Those that have their last word now and will be run again."""

    elsewhere: tuple[str, ...] = ()
    """Labels of those that another host has claimed: from here, nobody can say whether they live."""


def settle_leftovers(workspace: Workspace) -> Leftovers:
    """
    Close every execution that has no last word, wait until it is dead, and leave its group to be run again.

    Must be called by the one coordinator of the workspace, before it starts anything.
    """
    settled, elsewhere = 0, []
    for execution in workspace.store.unfinished():
        directory = ExecutionDirectory(workspace.scratch / execution.fragment)
        directory.close("its coordinator had ended")
        if not confirm_dead(directory):
            elsewhere.append(execution.label)
            continue
        workspace.store.finalise(execution.execution_id, _lost(execution, directory))
        settled += 1
    return Leftovers(settled=settled, elsewhere=tuple(elsewhere))


def confirm_dead(directory: ExecutionDirectory, patience_seconds: float = _PATIENCE_SECONDS) -> bool:
    """
    Return whether the worker of a closed execution has ended, ending it if it takes too long.

    A worker looks for the closing after it has claimed, so without a claim none will run. False where the claim
    is another host's.
    """
    claim = directory.read_claim()
    if claim is None:
        return True
    if not claim.is_of_this_host():
        return False
    give_up_at = time.monotonic() + patience_seconds
    while claim.is_alive_here():
        if time.monotonic() > give_up_at:
            with suppress(ProcessLookupError):
                os.kill(claim.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return True


def _lost(execution: UnfinishedExecution, directory: ExecutionDirectory) -> Finalisation:
    failure = ExecutionFailure(
        kind=FailureKind.COORDINATOR_LOST,
        message=f"The coordinator ended while it was {execution.status}; it will be run again.",
    )
    telemetry = Telemetry()
    with suppress(OSError, ValueError, ClimateRefPrefectError):  # a torn file tells nothing
        telemetry = directory.read_telemetry() or telemetry
    return Finalisation(
        successful=False,
        retryable=True,
        counted=False,
        failure=failure,
        telemetry=telemetry,
        clears_dirty=False,
        results_path=None,
    )

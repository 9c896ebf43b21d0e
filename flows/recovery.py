"""What a coordinator that died has left behind: found, confirmed dead, and given its last word."""

import os
import signal
import time
from contextlib import nullcontext, suppress
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FailureKind, Telemetry
from climate_ref_prefect.flows.gate import SignalGate
from climate_ref_prefect.flows.record.frugality import frugal_task_runs
from climate_ref_prefect.flows.record.ledger import Ledger
from climate_ref_prefect.flows.taking_in import attempt_with_outcome, take_in
from climate_ref_prefect.flows.workspace import Workspace
from climate_ref_prefect.store.values import Finalisation, UnfinishedExecution
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory

_PATIENCE_SECONDS: Final = 15.0
"""How long a supervisor may take to notice that its coordinator is gone and to end its tree."""
_POLL_SECONDS: Final = 0.1
_ENDING_WITH_THEIR_COORDINATOR: Final = ("inline", "local")
"""Transports whose executions are processes of the coordinator's own host, or of the batch job that it runs in."""


class Leftovers(FrozenModel):
    """What was done about the executions of a dead coordinator."""

    settled: int = 0
    """Those that have their last word now; what has not succeeded will be run again."""

    elsewhere: tuple[str, ...] = ()
    """Labels of those that still run in a batch job, or that another host has claimed: they are left alone."""


def settle_leftovers(workspace: Workspace, transport: Transport, ledger: Ledger) -> Leftovers:
    """
    Give every execution its last word that has none: by its outcome if it left one, else once it is dead.

    Must be called by the one coordinator of the workspace, before it starts anything.
    """
    settled, elsewhere = 0, []
    unfinished = workspace.store.unfinished()
    with frugal_task_runs() if unfinished else nullcontext():
        for execution in unfinished:
            if _settle(workspace, execution, transport, ledger):
                settled += 1
            else:
                elsewhere.append(execution.label)
    return Leftovers(settled=settled, elsewhere=tuple(elsewhere))


def _settle(workspace: Workspace, execution: UnfinishedExecution, transport: Transport, ledger: Ledger) -> bool:
    """Give an execution its last word; false if it may still run."""
    directory = ExecutionDirectory(workspace.scratch / execution.fragment)
    if _take_in_outcome(workspace, execution, transport, ledger):
        return True
    if not _is_dead(execution, transport, directory):
        return False
    if not _take_in_outcome(workspace, execution, transport, ledger, _delay_seconds(transport, directory)):
        directory.close("its coordinator had ended")
        workspace.store.finalise(execution.execution_id, _lost(execution, directory))
    return True


def _take_in_outcome(
    workspace: Workspace,
    execution: UnfinishedExecution,
    transport: Transport,
    ledger: Ledger,
    patience_seconds: float = 0.0,
) -> bool:
    attempt = attempt_with_outcome(workspace, execution, patience_seconds)
    if attempt is None:
        return False
    with SignalGate():
        take_in(attempt, workspace, transport, ledger)
    return True


def _delay_seconds(transport: Transport, directory: ExecutionDirectory) -> float:
    """Return for how long the outcome of an execution that is over may still take to show: it has just ended."""
    if directory.read_claim() is None:
        return 0.0
    return max(0.0, transport.outcome_patience_seconds - directory.silence_seconds())


def _is_dead(execution: UnfinishedExecution, transport: Transport, directory: ExecutionDirectory) -> bool:
    """Whether an execution has ended that may be a batch job's, or a process of this host's."""
    over = _as_the_scheduler_says(transport, directory) if execution.transport == transport.name else None
    if over is not None:
        return over
    claim = directory.read_claim()
    if claim is not None and claim.job_id and execution.transport not in _ENDING_WITH_THEIR_COORDINATOR:
        return claim.is_of_this_host() and not claim.is_alive_here()
    directory.close("its coordinator had ended")
    return confirm_dead(directory)


def _as_the_scheduler_says(transport: Transport, directory: ExecutionDirectory) -> bool | None:
    try:
        return transport.is_over(directory.path)
    except (OSError, ValueError, ClimateRefPrefectError):  # it does not answer, or a file is torn: nobody can tell
        return None


def _last_telemetry(directory: ExecutionDirectory) -> Telemetry:
    with suppress(OSError, ValueError, ClimateRefPrefectError):  # a torn file tells nothing
        return directory.read_telemetry() or Telemetry()
    return Telemetry()


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
    return Finalisation(
        successful=False,
        retryable=True,
        counted=False,
        failure=failure,
        telemetry=_last_telemetry(directory),
        clears_dirty=False,
        results_path=None,
    )

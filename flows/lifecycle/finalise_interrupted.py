"""Finalise the executions that wait or run when a lifecycle is stopped before its end."""

from collections.abc import Sequence
from contextlib import suppress

from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.execution_liveness import ExecutionLiveness, wait_until_known
from climate_ref_prefect.flows.lifecycle.infrastructure_faults import InfrastructureFaultError, is_infrastructure_fault
from climate_ref_prefect.flows.lifecycle.phase_calls import PhaseCalls
from climate_ref_prefect.flows.lifecycle.phases import complete
from climate_ref_prefect.flows.lifecycle.scratch_retention import withdraw_directory
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.errors import LeaseLostError
from climate_ref_prefect.store.port import WithdrawingWriter
from climate_ref_prefect.transports.port import Transport


def finalise_interrupted(
    attempts: Sequence[Attempt], error: BaseException, calls: PhaseCalls, workspace: Workspace, transport: Transport
) -> None:
    """
    Classify and finalise what has not been finalised: its group stays dirty, and the next solve takes it up.

    What no worker has begun with leaves neither a row nor a directory, where the recorder can take it back. An attempt
    that has a result, or is not confirmed dead, is left to the next solve. So are all attempts if it is
    unknown whether this still coordinates, or if an infrastructure fault has ended the solve: nothing could be written.

    Parameters
    ----------
    attempts
        The attempts that wait or run. The transport has been closed.
    error
        Why the lifecycle is stopped.
    calls
        Call the phases that remain.
    workspace
        The workspace in which they are recorded.
    transport
        The transport on which they ran.
    """
    if isinstance(error, InfrastructureFaultError) or not _may_give_up(workspace):
        return
    lost = isinstance(error, Exception) and not isinstance(error, CancelledRun)
    kind = FailureKind.COORDINATOR_LOST if lost else FailureKind.CANCELLED
    message = f"Stopped before its end: {type(error).__name__} {error}".rstrip()
    over = _Over(transport, str(error) or type(error).__name__)
    try:
        ended = over.of([attempt for attempt in attempts if not attempt.has_result()])
        unbegun: list[Attempt] = []
        for attempt in ended:
            if _has_begun(attempt):
                _finalise(attempt, kind, message, calls)
            else:
                unbegun.append(attempt)
        for attempt in _withdraw(unbegun, workspace):
            _finalise(attempt, kind, message, calls)
    except ClimateRefPrefectError as refused:
        if not is_infrastructure_fault(refused) and not isinstance(refused, LeaseLostError):
            raise
        get_run_logger().warning("What was under way is left to the next solve: %s", refused)


def _finalise(attempt: Attempt, kind: FailureKind, message: str, calls: PhaseCalls) -> None:
    attempt.fail(kind, message)
    complete(attempt, calls.call_without_task)


def _has_begun(attempt: Attempt) -> bool:
    """Whether a worker has begun with an attempt, or it has an outcome all the same, because it was refused."""
    return attempt.outcome is not None or (attempt.envelope is not None and attempt.files.is_claimed())


def _withdraw(attempts: Sequence[Attempt], workspace: Workspace) -> list[Attempt]:
    """Take back attempts that no worker has begun with, in one transaction; return those that must be finalised."""
    writer = workspace.writer
    if not attempts or not isinstance(writer, WithdrawingWriter):
        return list(attempts)
    writer.confirm_lease()  # It has taken a while to see that all have ended.
    # Before its row, which is how the next coordinator finds what was not completed.
    gone: list[int] = []
    kept: list[Attempt] = []
    for attempt in attempts:
        if _is_withdrawn(attempt, workspace):
            gone.append(attempt.execution_id)
        else:
            kept.append(attempt)
    writer.withdraw(gone)
    get_run_logger().info("%d executions had been allocated and had not begun: nothing is kept of them.", len(gone))
    return kept


def _is_withdrawn(attempt: Attempt, workspace: Workspace) -> bool:
    try:
        return withdraw_directory(attempt.files, workspace.scratch)
    except OSError as error:
        get_run_logger().warning("The directory of %s cannot be removed, and is kept: %s", attempt.label, error)
        return False


def _may_give_up(workspace: Workspace) -> bool:
    """Whether this process is still the coordinator. If not, or if that is unknown, the attempts belong to another."""
    try:
        workspace.writer.confirm_lease()
    except ClimateRefPrefectError:
        return False
    return True


class _Over:
    """Finds out which attempts are over, and closes them."""

    def __init__(self, transport: Transport, reason: str) -> None:
        self._transport = transport
        self._reason = reason
        self._is_unanswered = False

    def of(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Close and return the attempts that are known to be over, and name the others in the log."""
        by_scheduler = [(attempt, self._as_the_scheduler_says(attempt)) for attempt in attempts]
        for attempt, over in by_scheduler:
            if over is not False and attempt.envelope is not None:  # Without an envelope no worker knows of it.
                with suppress(OSError):
                    attempt.files.close(self._reason)
        in_doubt = {
            attempt: ExecutionLiveness(attempt.files, self._transport.outcome_patience_seconds)
            for attempt, over in by_scheduler
            if over is None
        }
        ended = wait_until_known(in_doubt)
        running = [attempt for attempt, over in by_scheduler if not (over or (over is None and ended[attempt]))]
        if running:
            labels = ", ".join(attempt.label for attempt in running)
            get_run_logger().warning("May still run, and is left to the next solve: %s", labels)
        return [attempt for attempt in attempts if attempt not in running]

    def _as_the_scheduler_says(self, attempt: Attempt) -> bool | None:
        """Return whether an attempt is over; None if only its files can show it."""
        if self._is_unanswered:
            return self._has_not_begun(attempt)
        try:
            return self._transport.is_over(attempt.directory)
        except (OSError, ValueError, ClimateRefPrefectError):
            # The scheduler is not asked about each attempt, because one answer may take a minute.
            self._is_unanswered = True
            return self._has_not_begun(attempt)

    def _has_not_begun(self, attempt: Attempt) -> bool | None:
        return None if attempt.files.last_sign_of_life() is None else False

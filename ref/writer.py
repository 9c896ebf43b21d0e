"""The writer over REF's database: one row of REF's for all attempts at an execution."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.ref import attempt_rows
from climate_ref_prefect.ref.database import RefDatabase
from climate_ref_prefect.ref.failure_reasons import RefFailureReason
from climate_ref_prefect.ref.payload import input_hash_of
from climate_ref_prefect.ref.ref_rows import RefRows, restore_reaped
from climate_ref_prefect.store.directory_names import new_fragment
from climate_ref_prefect.store.errors import StoreRefusedError
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    ExecutionStatus,
    Finalisation,
    GroupAddress,
    address_of,
)
from climate_ref_prefect.store.publish_results import verify_files
from climate_ref_prefect.store.result_refusals import refusals_explained


class RefExecution(NamedTuple):
    """An execution for which REF has made a row."""

    execution_id: int
    output_directory: Path
    """Where REF wants its files on scratch."""


class RefWriter:
    """
    The `Writer` of a `RefRecorder`; see `Writer` for what its methods raise.

    Parameters
    ----------
    database
        This process coordinates on it.
    rows
        Writes to REF's rows.
    executions
        The executions that REF has made, by group; shared with the recorder, which is told of new ones.
    """

    def __init__(self, database: RefDatabase, rows: RefRows, executions: Mapping[GroupAddress, RefExecution]) -> None:
        self._database = database
        self._rows = rows
        self._executions = executions

    def confirm_lease(self) -> None:
        """Raise `LeaseLostError` unless this is still the coordinator."""
        self.raise_if_lease_lost()
        self._database.confirm_lease()

    def raise_if_lease_lost(self) -> None:
        """Raise `LeaseLostError` if the lease is known to be lost."""
        self._database.raise_if_lease_lost()

    def allocate(self, batch: Sequence[Allocation]) -> tuple[AllocatedExecution, ...]:
        """Record a batch of attempts at executions that REF has made. A retry keeps its row."""
        now = datetime.now(UTC)
        with self._database.writing() as session:
            allocated = tuple(self._allocated(allocation, now) for allocation in batch)
            attempt_rows.add(session, allocated, [input_hash_of(one.definition) for one in allocated])
        return allocated

    def _allocated(self, allocation: Allocation, now: datetime) -> AllocatedExecution:
        definition = allocation.definition
        execution = self._executions.get(address_of(definition))
        if execution is None or allocation.replaces not in (None, execution.execution_id):
            raise StoreRefusedError(f"REF has made no execution of {definition.label} for this solve.")
        return AllocatedExecution(
            execution_id=execution.execution_id,
            fragment=new_fragment(definition, now),
            definition=definition,
            resources=allocation.resources,
            attempt=allocation.attempt,
            output_directory=execution.output_directory,
        )

    def mark_dispatched(self, execution_id: int, resources: ResourceHint, transport: str) -> None:
        """Record where an attempt went. REF has no such state: for REF it is in progress all the time."""
        with self._database.writing() as session:
            attempt = attempt_rows.latest(session, execution_id)
            if attempt.status is not ExecutionStatus.FINISHED:
                asked = resources.model_dump(mode="json")
                status = ExecutionStatus.DISPATCHED
                attempt_rows.change(session, attempt, status=status, transport=transport, resources=asked)

    def publish(self, finished: FinishedExecution) -> None:
        """
        Copy to REF's results directory what REF keeps, once it is known to be what the worker left.

        It returns None, so that the output stays on REF's scratch as well: REF can ingest it again from there.
        """
        self.raise_if_lease_lost()
        with refusals_explained():
            verify_files(ExecutionDirectory(finished.directory), finished.outcome.manifest, finished.output)
            self._rows.keep_files(finished)

    def ingest(self, finished: FinishedExecution, published: Path | None) -> tuple[str, ...]:
        """Record the values and outputs by REF's own function. REF itself logs what its vocabulary does not know."""
        with self._database.writing() as session:
            attempt = attempt_rows.latest(session, finished.execution_id)
            if not attempt.is_ingested:
                self._rows.ingest(session, finished)
                attempt_rows.change(session, attempt, is_ingested=True)
        return ()

    def finalise(self, execution_id: int, finalisation: Finalisation) -> None:
        """Record how an attempt ended; REF's row ends with the last one, and its group's dirty flag follows."""
        if not finalisation.successful and not finalisation.another_follows:
            self._keep_log(execution_id)
        with self._database.writing() as session:
            attempt = attempt_rows.latest(session, execution_id)
            if attempt.status is ExecutionStatus.FINISHED:
                return
            attempt_rows.finish(session, attempt, finalisation)
            if finalisation.another_follows:
                return
            if finalisation.successful:
                self._rows.succeed(session, attempt, finalisation.telemetry)
            else:
                self._rows.fail(session, attempt, finalisation)
            attempt_rows.forget_submitted(session, [execution_id])

    def withdraw(self, execution_ids: Sequence[int]) -> None:
        """Remove attempts that no worker has begun with. REF's rows stay in progress, for `abandon_unstarted`."""
        with self._database.writing() as session:
            attempt_rows.remove_unfinished(session, execution_ids)

    def _keep_log(self, execution_id: int) -> None:
        """Copy the log before the transaction that records a failure: within it nobody else could write."""
        self.raise_if_lease_lost()
        with self._database.reading() as connection:
            attempt = attempt_rows.latest(connection, execution_id)
        if attempt.status is not ExecutionStatus.FINISHED:
            self._rows.keep_log(attempt.output_directory)

    def restore_reaped(self) -> tuple[int, ...]:
        """Put executions back in progress that REF has given up for their age. Returns which those were."""
        with self._database.writing() as session:
            return restore_reaped(session, attempt_rows.submitted(session))

    def abandon_unstarted(self, reason: RefFailureReason | None, detail: str) -> tuple[int, ...]:
        """
        Mark as failed what REF has made for this executor and no attempt is under way for; the groups become dirty.

        Parameters
        ----------
        reason
            REF's reason; None for `abandoned` where there was an attempt before, and `not_started` where not.
        detail
            Why, for people.

        Returns
        -------
        REF's executions that have been marked.
        """
        if reason in (None, RefFailureReason.ABANDONED):
            self._keep_partial_logs()
        changed: tuple[int, ...] = ()
        with self._database.writing() as session:
            left = attempt_rows.submitted_and_not_under_way(session.connection())
            tried = attempt_rows.tried_among(session, left)
            usual = {True: RefFailureReason.ABANDONED, False: RefFailureReason.NOT_STARTED}
            for number in left:
                changed += self._rows.abandon(session, number, reason or usual[number in tried], detail)
            attempt_rows.forget_submitted(session, left)
        return changed

    def _keep_partial_logs(self) -> None:
        """
        Copy what attempts have logged that are about to be abandoned, as REF keeps it of what it abandons.

        Before the transaction that marks them: within it nobody else could write while files are copied.
        """
        with self._database.reading() as connection:
            left = attempt_rows.submitted_and_not_under_way(connection)
            fragments = attempt_rows.fragments_of(connection, attempt_rows.tried_among(connection, left))
        for fragment in fragments:
            self._rows.keep_log(self._rows.scratch / fragment)

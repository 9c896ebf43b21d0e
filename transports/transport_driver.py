"""Drive one open transport for many waiting threads: submit, poll, and turn each end into an outcome."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError, UnreadableDocumentError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_memory_use
from climate_ref_prefect.execution.worker.supervisor_process import refuse_unreadable
from climate_ref_prefect.transports.port import Ended, Submission, SubmissionError, Termination, Transport

_POLL_SECONDS: Final = 0.2
_using: Final = threading.Lock()
_in_use: Final[dict[int, "TransportDriver"]] = {}
"""Drivers of open transports by the identity of the transport object, because equal settings are not the same."""


class TransportClosedError(ClimateRefPrefectError):
    """The transport was closed while an execution was still waited for; it has been stopped."""


class TransportInUseError(ClimateRefPrefectError):
    """Another driver uses this transport object. Each would receive ends of the other one's executions."""


class TransportDriver:
    """
    Submits executions to a transport and waits for all of them in one thread.

    Parameters
    ----------
    transport
        Opened by the first submission and closed by `close`.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._futures: dict[Path, Future[Ended]] = {}
        self._lock = threading.Lock()
        self._submitting = threading.Lock()
        self._closing = threading.Event()
        self._closed = False
        self._broken: Exception | None = None
        self._poller: threading.Thread | None = None

    def run(self, directory: Path, resources: ResourceHint) -> ExecutionOutcome:
        """
        Run an execution and return its outcome, whatever it is.

        Raises
        ------
        TransportClosedError
            If the transport was closed meanwhile.
        TransportInUseError
            If another driver has opened the same transport object and not closed it yet.
        """
        execution = ExecutionDirectory(directory.absolute())
        try:
            ended = self._submit(execution.path, resources).result()
        except SubmissionError as error:
            kind = FailureKind.UNAVAILABLE if error.transient else FailureKind.SUBMISSION_REFUSED
            return _failed(execution, kind, str(error))
        return settle(self._transport, execution, ended, self._closing)

    def close(self, timeout_seconds: float) -> None:
        """
        Close the transport, then release the threads that still wait. An interrupt takes effect once it is closed.

        Call it again if an exception has interrupted it. Further calls do nothing.
        """
        if self._closed:
            return
        try:
            # A later submission would open the transport again. The polling thread exists by now, or never will.
            with self._submitting, self._lock:
                self._closing.set()
            if self._poller is not None:
                self._poller.join()
        finally:
            self._closing.set()
            try:
                if _in_use.get(id(self._transport), self) is self:
                    self._transport.close(timeout_seconds)
            finally:  # After a second interrupt, threads that still wait would keep this process alive for ever.
                self._fail_all(TransportClosedError("The transport was closed before the execution had ended."))
        self._closed = True
        with _using:
            if _in_use.get(id(self._transport)) is self:
                del _in_use[id(self._transport)]

    def _submit(self, directory: Path, resources: ResourceHint) -> Future[Ended]:
        with self._lock:
            self._refuse_if_closed()
            if directory in self._futures:  # It was delivered twice, and both callers get the outcome.
                return self._futures[directory]
            self._start_polling()
            # Before the submission, because the execution may end before that returns.
            future = self._futures[directory] = Future()
        try:
            with self._submitting:
                self._refuse_if_closed()
                self._transport.submit(directory, resources)
        except BaseException as error:
            if self._futures.pop(directory, None) is not None:
                future.set_exception(error)
            raise
        return future

    def _refuse_if_closed(self) -> None:
        if self._closing.is_set():
            raise TransportClosedError("The transport is closed.") from self._broken

    def _start_polling(self) -> None:
        if self._poller is None:
            self._open()
            self._poller = threading.Thread(target=self._poll, name=f"wait-for-{self._transport.name}", daemon=True)
            self._poller.start()

    def _open(self) -> None:
        with _using:
            if _in_use.setdefault(id(self._transport), self) is not self:
                raise TransportInUseError(
                    f"This transport {self._transport.name!r} is open for another flow: give each flow a transport "
                    "of its own, with the same settings if you like."
                )

    def _poll(self) -> None:
        try:
            while not self._closing.is_set():
                self._deliver(self._transport.wait(_POLL_SECONDS))
        except Exception as error:  # noqa: BLE001 - it is handed on to everyone who waits
            if self._closing.is_set():
                return  # It was closed meanwhile, and the waiting threads get that error.
            self._broken = error
            self._closing.set()
            self._fail_all(error)

    def _deliver(self, all_ended: Sequence[Ended]) -> None:
        for ended in all_ended:
            future = self._futures.pop(ended.submission.directory, None)
            if future is not None:
                future.set_result(ended)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            waiting = dict(self._futures)
        for directory, future in waiting.items():
            with suppress(InvalidStateError):  # Its outcome has just been delivered.
                future.set_exception(error)
            self._futures.pop(directory, None)


def settle(
    transport: Transport, execution: ExecutionDirectory, ended: Ended, closing: threading.Event
) -> ExecutionOutcome:
    """
    Return the outcome of an execution that has ended according to the backend.

    The outcome file counts. If neither it nor the backend gives an outcome in time, or before the transport is
    closed, it is made from the transport's explanation and the last telemetry.
    """
    outcome = ended.outcome
    try:
        if outcome is None or _may_still_run(outcome):
            outcome = execution.read_outcome(transport.outcome_patience_seconds, closing.wait) or outcome
        if outcome is None:
            return _with_meta(_explain(transport, execution, ended.submission), ended)
        if _backend_knows_why(outcome):
            outcome = _in_the_backends_words(outcome, transport.explain(ended.submission))
    except (OSError, UnreadableDocumentError) as error:
        outcome = refuse_unreadable(error)
    with suppress(OSError, UnreadableDocumentError):  # If it cannot be read, the outcome says so.
        outcome = outcome.model_copy(update={"execution_id": execution.read_envelope().execution_id})
    return _with_meta(outcome, ended)


def _may_still_run(outcome: ExecutionOutcome) -> bool:
    return outcome.failure is not None and FAILURE_RULES[outcome.failure.kind].may_still_run


def _backend_knows_why(outcome: ExecutionOutcome) -> bool:
    return outcome.failure is not None and FAILURE_RULES[outcome.failure.kind].backend_knows_why


def _in_the_backends_words(outcome: ExecutionOutcome, death: Termination | None) -> ExecutionOutcome:
    """Replace the worker's own message, that it was asked to end, by the reason that the backend gives."""
    if death is None or outcome.failure is None:
        return outcome
    failure = ExecutionFailure(kind=death.kind, message=death.message, details=outcome.failure.message)
    return outcome.model_copy(update={"failure": failure})


def _with_meta(outcome: ExecutionOutcome, ended: Ended) -> ExecutionOutcome:
    if not ended.meta:
        return outcome
    meta = {**outcome.telemetry.transport_meta, **ended.meta}
    return outcome.model_copy(update={"telemetry": outcome.telemetry.model_copy(update={"transport_meta": meta})})


def _explain(transport: Transport, execution: ExecutionDirectory, submission: Submission) -> ExecutionOutcome:
    death = transport.explain(submission)
    if death is None:
        return _failed(execution, FailureKind.WORKER_LOST, "It ended without an outcome; the reason is not known.")
    return _failed(execution, death.kind, death.message, meta=dict(death.meta))


def _failed(
    execution: ExecutionDirectory, kind: FailureKind, message: str, meta: dict[str, object] | None = None
) -> ExecutionOutcome:
    failure, telemetry, execution_id = ExecutionFailure(kind=kind, message=message), execution.last_telemetry(), 0
    with suppress(OSError, UnreadableDocumentError):  # It has ended even if its envelope cannot be read.
        envelope = execution.read_envelope()
        execution_id = envelope.execution_id
        failure = failure_from_memory_use(
            failure, peak_rss_mb=telemetry.peak_rss_mb, memory_mb=envelope.resources.memory_mb
        )
    telemetry = telemetry.model_copy(update={"transport_meta": {**telemetry.transport_meta, **(meta or {})}})
    return ExecutionOutcome(execution_id=execution_id, failure=failure, telemetry=telemetry)

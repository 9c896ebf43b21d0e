"""Drive one open transport for many waiting executions: submit, poll, and turn each end into an outcome."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.port import Ended, SubmissionError, Transport
from climate_ref_prefect.transports.settle_outcome import failed, settle

_POLL_SECONDS: Final = 0.2
_LOOKING_SHARE: Final = 0.05
"""Part of the time that may be spent on looking for claims, of which there may be thousands on a slow file system."""
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
        self._unstarted: dict[Path, Callable[[], object]] = {}
        self._look_from = 0.0
        self._lock = threading.Lock()
        self._submitting = threading.Lock()
        self._close_seconds: float | None = None
        self._closing = threading.Event()
        self._closed = False
        self._close_error: Exception | None = None
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
        try:
            ended = self.submit(directory, resources).result()
        except SubmissionError as error:
            return self.refused(directory, error)
        return self.settle(directory, ended, self._transport.outcome_patience_seconds)

    def submit(
        self, directory: Path, resources: ResourceHint, on_started: Callable[[], object] = bool
    ) -> Future[Ended]:
        """
        Submit an execution and return a future of its end, according to the backend.

        Parameters
        ----------
        directory
            The execution's directory.
        resources
            What it is granted.
        on_started
            Called, in any thread, when a worker has begun with it; not if that is seen no earlier than its end.

        Raises
        ------
        SubmissionError
            If the backend refuses it.
        TransportClosedError, TransportInUseError
            As `run` does.
        """
        directory = directory.absolute()
        with self._lock:
            self._refuse_if_closed()
            if directory in self._futures:  # It was delivered twice, and both callers get the outcome.
                return self._futures[directory]
            self._start_polling()
            # Before the submission, because the execution may start and end before that returns.
            future = self._futures[directory] = Future()
            self._unstarted[directory] = on_started
        try:
            with self._submitting:
                self._refuse_if_closed()
                self._transport.submit(directory, resources)
        except BaseException as error:
            if self._take(directory) is not None:
                future.set_exception(error)
            raise
        return future

    def settle(self, directory: Path, ended: Ended, patience_seconds: float) -> ExecutionOutcome:
        """Return the outcome of an execution that has ended; wait `patience_seconds` for its file if it has none."""
        return settle(self._transport, ExecutionDirectory(directory.absolute()), ended, patience_seconds, self._closing)

    def refused(self, directory: Path, error: SubmissionError) -> ExecutionOutcome:
        """Return the outcome of an execution that the backend did not accept."""
        kind = FailureKind.UNAVAILABLE if error.transient else FailureKind.SUBMISSION_REFUSED
        return failed(ExecutionDirectory(directory.absolute()), kind, str(error))

    @property
    def is_closing(self) -> bool:
        """Whether the transport is being closed, or has failed."""
        return self._close_seconds is not None or self._closing.is_set()

    def close(self, timeout_seconds: float) -> None:
        """
        Close the transport, then release the threads that still wait. An interrupt takes effect once it is closed.

        The polling thread closes it: a signal can end what the calling thread does anywhere, even where it has just
        taken a lock. Call it again if it has failed. Further calls do nothing.
        """
        with self._lock:  # No submission starts the polling thread after this.
            self._close_seconds = timeout_seconds
        if self._poller is not None:
            try:
                self._poller.join()
            finally:
                self._poller.join()
        error, self._close_error = self._close_error, None
        if error is not None:
            raise error
        if not self._closed:
            self._close_transport(timeout_seconds)

    def _close_transport(self, timeout_seconds: float) -> None:
        with self._submitting:  # A later submission would open the transport again.
            self._closing.set()
        try:
            if _in_use.get(id(self._transport), self) is self:
                self._transport.close(timeout_seconds)
        finally:  # Threads that still wait would keep this process alive for ever.
            self._fail_all(TransportClosedError("The transport was closed before the execution had ended."))
        self._closed = True
        with _using:
            if _in_use.get(id(self._transport)) is self:
                del _in_use[id(self._transport)]

    def _refuse_if_closed(self) -> None:
        if self.is_closing:
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
            while self._close_seconds is None:
                all_ended = self._transport.wait(_POLL_SECONDS)
                self._report_starts()
                self._deliver(all_ended)
        except Exception as error:  # noqa: BLE001 - it is handed on to everyone who waits
            self._broken = error
            self._closing.set()
            self._fail_all(error)
            return
        try:
            self._close_transport(self._close_seconds)
        except Exception as error:  # noqa: BLE001 - `close` raises it
            self._close_error = error

    def _deliver(self, all_ended: Sequence[Ended]) -> None:
        for ended in all_ended:
            future = self._take(ended.submission.directory)
            if future is not None:
                future.set_result(ended)

    def _take(self, directory: Path) -> Future[Ended] | None:
        """Stop following an execution and return its future; None if it is not followed."""
        self._unstarted.pop(directory, None)
        return self._futures.pop(directory, None)

    def _report_starts(self) -> None:
        starts = self._transport.new_starts() if self._transport.traits.reports_starts else self._new_claims()
        for directory in starts:
            on_started = self._unstarted.pop(directory, None)
            if on_started is not None:
                on_started()

    def _new_claims(self) -> Iterable[Path]:
        """Return the executions that have been claimed, where the transport itself does not report what starts."""
        began = time.monotonic()
        if began < self._look_from:
            return ()
        with self._lock:
            unstarted = list(self._unstarted)
        claimed = [directory for directory in unstarted if ExecutionDirectory(directory).is_claimed()]
        ended = time.monotonic()
        self._look_from = ended + (ended - began) / _LOOKING_SHARE
        return claimed

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            waiting = dict(self._futures)
        for directory, future in waiting.items():
            with suppress(InvalidStateError):  # Its outcome has just been delivered.
                future.set_exception(error)
            self._take(directory)

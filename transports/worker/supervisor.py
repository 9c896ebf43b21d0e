"""The supervisor of one execution: a process that starts the child, holds it to its limits and has the last word."""

import os
import signal
import socket
import time
from contextlib import suppress
from typing import Final

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import ResultValidationError, SchemaMismatchError
from climate_ref_prefect.diagnostics.outcome import (
    ExecutionFailure,
    ExecutionOutcome,
    FailureKind,
    FileRecord,
    Telemetry,
)
from climate_ref_prefect.transports.worker.cgroup import oom_kills
from climate_ref_prefect.transports.worker.child import IMPORTED, Start
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory, manifest
from climate_ref_prefect.transports.worker.documents import Claim
from climate_ref_prefect.transports.worker.meter import Meter
from climate_ref_prefect.transports.worker.process_tree import become_subreaper, terminate
from climate_ref_prefect.transports.worker.verdict import describe_exit, judge_exception, judge_exit, judge_memory
from climate_ref_prefect.transports.worker.wire import wait_for_input

CANCEL: Final = b"cancel\n"
"""What a caller sends to have an execution stopped."""
END: Final = b"ending\n"
"""What a caller sends whose job is about to be ended by the scheduler."""
_LONGEST_WAIT_SECONDS: Final = 0.5


class Terminated(BaseException):
    """The supervisor itself was asked to end, by a scheduler or an operator."""


def supervise(directory: ExecutionDirectory, caller: socket.socket, start: Start) -> ExecutionOutcome:
    """
    Claim and run one execution; returns its outcome, which has then been written.

    Parameters
    ----------
    directory
        The execution's directory; its envelope is there.
    caller
        Says "cancel", and by its end that the caller is gone.
    start
        How the child is started.
    """
    envelope = directory.read_envelope()
    refused = claim_or_refuse(directory, envelope)
    if refused is not None:
        return refused
    become_subreaper()
    return _leave(directory, Supervision(directory, envelope, caller).run(start))


def claim_or_refuse(directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> ExecutionOutcome | None:
    """Claim an execution; where it is not to be run here, return the outcome that says so."""
    if not directory.claim(Claim.of_this_process()):
        return refuse(envelope, FailureKind.ALREADY_CLAIMED, "Another worker has claimed this execution.")
    if directory.is_closed():
        return refuse(envelope, FailureKind.CANCELLED, "The coordinator had given this attempt up before it began.")
    return None


def _leave(directory: ExecutionDirectory, outcome: ExecutionOutcome) -> ExecutionOutcome:
    """Write the outcome; a success that cannot be written is none."""
    try:
        directory.write_outcome(outcome)
    except OSError as error:
        failure = outcome.failure or judge_exception(error)
        return outcome.model_copy(update={"failure": failure, "manifest": ()})
    return outcome


def refuse(envelope: ExecutionEnvelope, kind: FailureKind, message: str) -> ExecutionOutcome:
    """Return the outcome of an execution that does not begin, or whose worker can no longer say how it went."""
    return ExecutionOutcome(execution_id=envelope.execution_id, failure=ExecutionFailure(kind=kind, message=message))


def refuse_unreadable(error: Exception) -> ExecutionOutcome:
    """Return the outcome where a document cannot be read or written; whose it is, the caller knows."""
    kind = FailureKind.SCHEMA_MISMATCH if isinstance(error, SchemaMismatchError) else FailureKind.SYSTEM_ERROR
    return ExecutionOutcome(execution_id=0, failure=ExecutionFailure(kind=kind, message=str(error)))


class Supervision:
    """One child under supervision, from its start to the outcome."""

    def __init__(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope, caller: socket.socket) -> None:
        self._directory = directory
        self._envelope = envelope
        self._limits = envelope.limits
        self._caller: socket.socket | None = caller
        self._kills_before = oom_kills()
        self._report = b""

    def run(self, start: Start) -> ExecutionOutcome:
        """Start the child and see it through."""
        signal.signal(signal.SIGTERM, _raise_terminated)
        self._importing = start.imports_provider
        self._next_heartbeat = time.monotonic()
        self._meter = Meter()
        exit_code = None
        try:
            self._start(start)
            failure, exit_code = self._watch()
        except Terminated:
            failure = self._stop(FailureKind.WORKER_LOST, "The worker was told to end (SIGTERM).")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return self._conclude(failure, exit_code, survivors=terminate(0.0))

    def _start(self, start: Start) -> None:
        self._pipe: int | None
        self._child, self._pipe = start.start(self._directory, self._envelope)
        self._end_of_child = os.pidfd_open(self._child) if hasattr(os, "pidfd_open") else None

    def _watch(self) -> tuple[ExecutionFailure | None, int | None]:
        """Follow the child until it ends or has to be ended."""
        while True:
            exit_code = self._poll_child()
            if exit_code is not None:
                self._read_report()
                return self._judge(exit_code), exit_code
            failure = self._check_limits()
            if failure is not None:
                return failure, None
            failure = self._wait_for_news()
            if failure is not None:
                return failure, None

    def _poll_child(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return None if pid == 0 else os.waitstatus_to_exitcode(status)

    def _check_limits(self) -> ExecutionFailure | None:
        now = time.monotonic()
        if now >= self._meter.next_sample:
            used_mb = self._meter.sample()
            allowed_mb = self._allowed_mb()
            if allowed_mb is not None and used_mb > allowed_mb:
                return self._stop(
                    FailureKind.OUT_OF_MEMORY,
                    f"Stopped: it used {used_mb:.0f} MiB, it asked for {self._envelope.resources.memory_mb} MiB.",
                )
        if now >= self._next_heartbeat:
            self._write_telemetry(self._meter.telemetry())
            self._next_heartbeat = now + self._limits.heartbeat_seconds
        return self._check_deadline()

    def _write_telemetry(self, telemetry: Telemetry) -> None:
        with suppress(OSError):  # a full disk stops nothing by itself: the diagnostic may be about to make room
            self._directory.write_telemetry(telemetry)

    def _allowed_mb(self) -> float | None:
        tolerance = self._limits.memory_tolerance
        return None if tolerance is None else self._envelope.resources.memory_mb * (1 + tolerance)

    def _deadline_seconds(self) -> float:
        return self._limits.import_deadline_seconds if self._importing else self._envelope.resources.wall_clock_seconds

    def _check_deadline(self) -> ExecutionFailure | None:
        limit = self._deadline_seconds()
        if self._meter.elapsed_seconds < limit:
            return None
        if self._importing:
            target = self._envelope.provider.target
            return self._stop(FailureKind.PROVIDER_IMPORT, f"Provider {target} was not imported after {limit:g} s.")
        return self._stop(FailureKind.TIMEOUT, f"Stopped at its wall clock limit of {limit:g} s.")

    def _wait_for_news(self) -> ExecutionFailure | None:
        caller = None if self._caller is None else self._caller.fileno()
        watched = [source for source in (self._pipe, self._end_of_child, caller) if source is not None]
        readable = wait_for_input(watched, self._pause_seconds())
        if self._pipe in readable:
            self._read_report()
        if self._caller is not None and caller in readable:
            return self._hear_caller(self._caller)
        return None

    def _pause_seconds(self) -> float:
        now = time.monotonic()
        deadline = now + self._deadline_seconds() - self._meter.elapsed_seconds
        due = min(self._meter.next_sample, self._next_heartbeat, deadline)
        return min(max(due - now, 0.0), _LONGEST_WAIT_SECONDS)

    def _hear_caller(self, caller: socket.socket) -> ExecutionFailure | None:
        heard = caller.recv(len(CANCEL))
        if heard == CANCEL:
            return self._stop(FailureKind.CANCELLED, "Cancelled.")
        if heard == END:
            return self._stop(FailureKind.WORKER_LOST, "Its job was told to end.")
        self._caller = None
        if self._limits.finish_without_caller:
            return None
        return self._stop(FailureKind.COORDINATOR_LOST, "The process that had started it is gone.")

    def _read_report(self) -> None:
        # A process that the diagnostic left behind may hold the other end open: read what is there, no more.
        while self._pipe is not None and wait_for_input([self._pipe], 0):
            read = os.read(self._pipe, 1 << 16)
            self._report += read
            if not read:
                os.close(self._pipe)
                self._pipe = None
        if self._report.startswith(IMPORTED):
            self._importing = False

    def _stop(self, kind: FailureKind, message: str) -> ExecutionFailure:
        self._meter.sample()
        terminate(self._limits.kill_grace_seconds)
        return ExecutionFailure(kind=kind, message=message)

    def _judge(self, exit_code: int) -> ExecutionFailure | None:
        verdict = self._report.removeprefix(IMPORTED)
        if exit_code == 0 and verdict.endswith(b"\n"):
            return None if verdict == b"null\n" else ExecutionFailure.model_validate_json(verdict)
        if self._importing:
            return ExecutionFailure(
                kind=FailureKind.PROVIDER_IMPORT,
                message=f"Provider {self._envelope.provider.target} ended its process while it was imported: "
                f"{describe_exit(exit_code)}.",
            )
        return judge_exit(exit_code)

    def _conclude(
        self, failure: ExecutionFailure | None, exit_code: int | None, survivors: list[int]
    ) -> ExecutionOutcome:
        self._meter.close()
        telemetry = self._meter.telemetry(exit_code)
        if survivors:
            meta = {**telemetry.transport_meta, "unkillable_pids": list(survivors)}
            telemetry = telemetry.model_copy(update={"transport_meta": meta})
        self._write_telemetry(telemetry)
        files: tuple[FileRecord, ...] = ()
        if failure is None:
            try:
                files = manifest(self._directory.output)
            except (OSError, ResultValidationError) as error:
                failure = judge_exception(error)
        if failure is not None:
            failure = judge_memory(
                failure,
                peak_rss_mb=self._meter.peak_mb,
                memory_mb=self._envelope.resources.memory_mb,
                oom_kills=oom_kills() - self._kills_before,
            )
        return ExecutionOutcome(
            execution_id=self._envelope.execution_id, failure=failure, manifest=files, telemetry=telemetry
        )


def _raise_terminated(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # schedulers say it more than once
    raise Terminated(number)

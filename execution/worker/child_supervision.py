"""Supervise one child: enforce its limits, end it with all that it started, and have its output checked."""

import os
import signal
import socket
import time
from collections.abc import Container
from typing import Final

from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.host.cgroup_memory import OomKillCounter
from climate_ref_prefect.execution.host.process_tree import descendants, living, reap, signal_descendants, terminate
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, FileRecord, Telemetry
from climate_ref_prefect.execution.worker.child_process import IMPORTED, ChildReport, Start
from climate_ref_prefect.execution.worker.failure_mapping import (
    failure_from_exit_code,
    failure_from_exit_during_import,
    failure_from_memory_use,
    process_limit_message,
)
from climate_ref_prefect.execution.worker.log_size_limit import LogLimit
from climate_ref_prefect.execution.worker.orphan_process_cleanup import OrphanCleanup
from climate_ref_prefect.execution.worker.output_validation import OutputValidation
from climate_ref_prefect.execution.worker.provider_server_protocol import CANCEL, END, wait_for_input
from climate_ref_prefect.execution.worker.resource_sampler import ResourceSampler
from climate_ref_prefect.execution.worker.scratch_full_detection import ScratchFullDetector
from climate_ref_prefect.execution.worker.suspended_time import SuspendedTime

_LONGEST_WAIT_SECONDS: Final = 0.5
_LEFT_GRACE_SECONDS: Final = 0.3
"""How long orphan processes may take to clean up, as the tracker of Python's shared memory does."""
_FAST_LOG_SECONDS: Final = 0.05
_EXACT_SHARE: Final = 0.75
"""Share of the memory that was asked for above which memory is measured exactly: well below what counts as a cause."""


class Terminated(BaseException):
    """The supervisor itself was asked to end, by a scheduler or an operator."""


class ChildSupervision:
    """
    Supervises one child from its start to the outcome.

    Parameters
    ----------
    directory
        The execution's directory, which has been claimed.
    envelope
        The envelope of the execution.
    caller
        The socket to the caller, which may send "cancel" or "ending". Its end means that the caller is gone.
    """

    def __init__(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope, caller: socket.socket) -> None:
        self._directory = directory
        self._envelope = envelope
        self._limits = envelope.limits
        self._caller: socket.socket | None = caller
        self._suspension = SuspendedTime(caller, signal_descendants, time.monotonic)
        self._oom_kills = OomKillCounter()
        self.space = ScratchFullDetector(directory.path)
        """What has been seen of the free space on scratch."""
        self._log = LogLimit(directory.log, envelope.limits.max_log_mb)
        self._left_behind = OrphanCleanup()
        self._child = 0
        self._report = b""
        self._failure: ExecutionFailure | None = None
        self._files: tuple[FileRecord, ...] = ()
        self._has_bundles = True
        self._exit_code: int | None = None

    def run(self, start: Start) -> ExecutionOutcome:
        """Start the child, supervise it to its end, and return its outcome."""
        signal.signal(signal.SIGTERM, _raise_terminated)
        self._suspension.listen()
        self._importing = start.imports_provider
        # The claim counts as a heartbeat, too.
        self._next_heartbeat = time.monotonic() + self._limits.heartbeat_seconds
        self._meter = ResourceSampler(_EXACT_SHARE * self._envelope.resources.memory_mb)
        try:
            self._failure = self._start(start) or self._watch()
            if reap():
                self._left_behind.record_processes(living(descendants(os.getpid())))
                terminate(_LEFT_GRACE_SECONDS)
            self._examine()
        except Terminated:
            self._failure = self._failure or self._stop(
                FailureKind.WORKER_LOST, "The worker was asked to end (SIGTERM)."
            )
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return self._conclude(survivors=terminate(0.0))

    def _start(self, start: Start) -> ExecutionFailure | None:
        """Start the child. If the system starts no further process, return UNAVAILABLE, which does not count."""
        self._pipe: int | None
        try:
            self._child, self._pipe = start.start(self._directory, self._envelope)
        except OSError as error:
            return ExecutionFailure(kind=FailureKind.UNAVAILABLE, message=process_limit_message(error))
        self._end_of_child = os.pidfd_open(self._child) if hasattr(os, "pidfd_open") else None
        return None

    def _watch(self) -> ExecutionFailure | None:
        """Watch the child until it ends or must be ended."""
        while True:
            self._exit_code = self._poll_child()
            if self._exit_code is not None:
                self._read_report()
                return self._judge(self._exit_code)
            failure = self._check_limits()
            if failure is not None:
                return failure
            failure = self._wait_for_news()
            if failure is not None:
                return failure

    def _poll_child(self) -> int | None:
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return None if pid == 0 else os.waitstatus_to_exitcode(status)

    def _check_limits(self) -> ExecutionFailure | None:
        now = time.monotonic()
        self._log.shorten_if_needed()
        if now >= self._meter.next_sample:
            used_mb = self._meter.sample()
            allowed_mb = self._allowed_mb()
            if allowed_mb is not None and used_mb > allowed_mb:
                return self._stop(
                    FailureKind.OUT_OF_MEMORY,
                    f"Stopped: it used {used_mb:.0f} MiB, it asked for {self._envelope.resources.memory_mb} MiB.",
                )
        return self._show_life(now) or self._check_deadline()

    def _show_life(self, now: float) -> ExecutionFailure | None:
        """If a heartbeat is due, replace the telemetry and check whether the coordinator has given the attempt up."""
        if now < self._next_heartbeat:
            return None
        self._write_telemetry(self._meter.telemetry())
        self.space.check()
        self._next_heartbeat = now + self._limits.heartbeat_seconds
        if self._directory.is_closed():
            return self._stop(FailureKind.CANCELLED, "The coordinator has given this attempt up.")
        return None

    def _write_telemetry(self, telemetry: Telemetry) -> None:
        try:
            self._directory.write_telemetry(telemetry)
        except OSError as error:
            # A full disk alone does not stop the execution: the diagnostic may be about to free space.
            self.space.record_error(error)

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
        readable = self._wait_for(self._pipe, self._end_of_child, seconds=self._pause_seconds())
        if self._pipe in readable:
            self._read_report()
        return self._hear_caller_if(readable)

    def _wait_for(self, *sources: int | None, seconds: float) -> set[int]:
        """Return which of these sources, the caller included, can be read."""
        caller = None if self._caller is None else self._caller.fileno()
        watched = [source for source in (*sources, caller) if source is not None]
        wait_seconds = min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
        self._meter.subtract_suspended(self._suspension.before_wait())
        readable = wait_for_input(watched, wait_seconds)
        self._meter.subtract_suspended(self._suspension.after_wait(wait_seconds))
        return readable

    def _pause_seconds(self) -> float:
        now = time.monotonic()
        deadline = now + self._deadline_seconds() - self._meter.elapsed_seconds
        pause = min(self._meter.next_sample, self._next_heartbeat, deadline) - now
        return min(pause, _FAST_LOG_SECONDS) if self._log.grows_fast else pause

    def _hear_caller_if(self, readable: Container[int]) -> ExecutionFailure | None:
        if self._caller is None or self._caller.fileno() not in readable:
            return None
        heard = self._caller.recv(len(CANCEL))
        if heard == CANCEL:
            return self._stop(FailureKind.CANCELLED, "Cancelled.")
        if heard == END:
            return self._stop(FailureKind.WORKER_LOST, "Its job was asked to end.")
        self._caller = None
        if self._limits.finish_without_caller:
            return None
        return self._stop(FailureKind.COORDINATOR_LOST, "The process that had started it is gone.")

    def _read_report(self) -> None:
        # An orphan of the diagnostic may hold the other end open, so read only what is there.
        while self._pipe is not None and wait_for_input([self._pipe], 0):
            read = os.read(self._pipe, 1 << 16)
            self._report += read
            if not read:
                os.close(self._pipe)
                self._pipe = None
        if self._report.startswith(IMPORTED):
            self._importing = False

    def _stop(self, kind: FailureKind, message: str) -> ExecutionFailure:
        self._meter.sample(exactly=True)
        self._suspension.end()
        terminate(self._limits.kill_grace_seconds)
        return ExecutionFailure(kind=kind, message=message)

    def _judge(self, exit_code: int) -> ExecutionFailure | None:
        verdict = self._report.removeprefix(IMPORTED)
        if exit_code == 0 and verdict.endswith(b"\n"):
            report = ChildReport.model_validate_json(verdict)
            self.space.record_reason(report.scratch_full)
            return report.failure
        if self._importing:
            return failure_from_exit_during_import(self._envelope.provider.target, exit_code)
        return failure_from_exit_code(exit_code)

    def _examine(self) -> None:
        """Have the output checked within a deadline of its own, and answer the caller in the meantime."""
        self._meter.finish()
        if self._failure is not None and not FAILURE_RULES[self._failure.kind].may_hide:
            return
        examination = OutputValidation(self._directory, self._envelope, self._failure, self.space)
        stopped = self._wait_for_examination(examination)
        examination.close()
        if stopped is None:
            self._failure, self._files = examination.failure, examination.files
            self._has_bundles = examination.has_bundles
        else:
            self._failure = self._failure or stopped

    def _wait_for_examination(self, examination: OutputValidation) -> ExecutionFailure | None:
        limit_seconds = self._limits.describe_deadline_seconds
        give_up_at = time.monotonic() + limit_seconds
        while (now := time.monotonic()) < give_up_at:
            if now >= self._next_heartbeat:
                self._meter.sample()
            stopped = self._show_life(now)
            if stopped is not None:
                return stopped
            readable = self._wait_for(examination.fileno(), seconds=min(self._next_heartbeat, give_up_at) - now)
            if examination.fileno() in readable:
                return None
            stopped = self._hear_caller_if(readable)
            if stopped is not None:
                return stopped
        return examination.timed_out(limit_seconds)

    def _conclude(self, survivors: list[int]) -> ExecutionOutcome:
        self._log.finish()
        self._meter.close()
        telemetry = self._meter.telemetry(self._exit_code)
        left = self._left_behind.clean_up(self._child, self._directory.log)
        if survivors:
            left["unkillable_pids"] = list(survivors)
        if left:
            telemetry = telemetry.model_copy(update={"transport_meta": {**telemetry.transport_meta, **left}})
        self._write_telemetry(telemetry)
        failure = self._failure
        if failure is not None:
            failure = failure_from_memory_use(
                failure,
                peak_rss_mb=self._meter.peak_mb,
                memory_mb=self._envelope.resources.memory_mb,
                oom_kills=self._oom_kills.since_start(),
            )
        return ExecutionOutcome(
            execution_id=self._envelope.execution_id,
            failure=failure,
            manifest=() if failure else self._files,
            has_bundles=self._has_bundles,
            telemetry=telemetry,
        )


def _raise_terminated(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # Schedulers send SIGTERM more than once.
    raise Terminated(number)

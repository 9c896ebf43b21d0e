"""Measure the time in which an execution could not run because its job was suspended."""

import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from climate_ref_prefect.execution.host.process_tree import process_state

_PEER_CREDENTIALS: Final = struct.Struct("3i")
_WAIT_SLACK_SECONDS: Final = 2.0
"""A supervisor that wakes up later than planned by more than this was stopped, and its child with it."""
_WORK_SLACK_SECONDS: Final = 10.0
"""The same for its work between two waits, which may itself take long because it writes to a shared file system."""


class SuspendedTime:
    """
    Notices that a job is suspended, and stops the execution's processes until the job is resumed.

    A scheduler may stop all processes of a job (SLURM), which shows as a gap in the supervisor's own time. Or it stops
    only those of the job's own session (PBS), which shows in the state of the process that called the supervisor.

    Parameters
    ----------
    caller
        The connection to the process that called the supervisor.
    tell
        Sends a signal to all processes of the execution.
    clock
        A monotonic clock in seconds.
    """

    def __init__(
        self, caller: socket.socket, tell: Callable[[signal.Signals], None], clock: Callable[[], float]
    ) -> None:
        self._caller = _peer_of(caller)
        self._tell = tell
        self._clock = clock
        self._seen = clock()
        self._continued = False
        self.stopped = False
        """Whether the processes of the execution are stopped now."""

    def listen(self) -> None:
        """Install a handler for SIGCONT, which ends a stop."""
        signal.signal(signal.SIGCONT, self._note_end_of_stop)

    def before_wait(self) -> float:
        """Record that the supervisor starts to wait. Returns the suspended seconds since its last wait."""
        return self._gap(_WORK_SLACK_SECONDS)

    def after_wait(self, wanted_seconds: float) -> float:
        """Record that it woke up, and check the caller. Returns the suspended seconds of the wait."""
        lost = self._gap(wanted_seconds + _WAIT_SLACK_SECONDS, wanted_seconds)
        self._follow_caller()
        return lost

    def end(self) -> None:
        """Resume the stopped processes, so that they can react to the signals that end them."""
        if self.stopped:
            self._tell(signal.SIGCONT)
            self.stopped = False

    def _gap(self, allowed_seconds: float, expected_seconds: float = 0.0) -> float:
        now, before = self._clock(), self._seen
        self._seen = now
        took = now - before
        continued, self._continued = self._continued, False
        if self.stopped:
            return took
        if continued:
            allowed_seconds = min(allowed_seconds, expected_seconds + _WAIT_SLACK_SECONDS)
        return took - expected_seconds if took > allowed_seconds else 0.0

    def _note_end_of_stop(self, number: int, frame: object) -> None:
        self._continued = True

    def _follow_caller(self) -> None:
        """Stop the processes when the caller is stopped, and resume them when it is resumed."""
        if self._caller is not None and process_state(self._caller) == "T":  # "t" is a caller that is in a debugger.
            self.stopped = True
            self._tell(signal.SIGSTOP)  # Sent each time, because new processes may have been started.
        else:
            self.end()


def _peer_of(connection: socket.socket) -> int | None:
    """Return the pid at the other end of a connection; None if the system does not say."""
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
        return pid or None
    return None

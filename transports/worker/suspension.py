"""Time in which an execution could not run, because its job was suspended."""

import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from climate_ref_prefect.transports.worker.process_tree import process_state

_PEER_CREDENTIALS: Final = struct.Struct("3i")
_WAIT_SLACK_SECONDS: Final = 2.0
"""A supervisor that wakes up so much later than it wanted to was stopped, and its child with it."""
_WORK_SLACK_SECONDS: Final = 10.0
"""The same of what it does between two waits, which may take a while by itself: it writes to a shared file system."""


class Suspension:
    """
    Notices that a job is suspended, and has what runs in it wait for that to end.

    A scheduler may stop all processes of a job (SLURM), which shows as a gap in the supervisor's own time; or those
    of the job's own session alone (PBS), which shows in the process that asked for the execution.

    Parameters
    ----------
    caller
        The connection to the process that asked for the execution.
    tell
        Sends a signal to all that the execution has started.
    clock
        Seconds that only grow.
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
        """Whether what the execution has started is kept stopped now."""

    def listen(self) -> None:
        """Hear of the end of a stop from the signal that ends it."""
        signal.signal(signal.SIGCONT, self._note_end_of_stop)

    def before_wait(self) -> float:
        """Take note that the supervisor goes to wait; return the seconds before that in which nothing could run."""
        return self._gap(_WORK_SLACK_SECONDS)

    def after_wait(self, wanted_seconds: float) -> float:
        """Take note that it woke up, and look at the caller; return the seconds in which nothing could run."""
        lost = self._gap(wanted_seconds + _WAIT_SLACK_SECONDS, wanted_seconds)
        self._follow_caller()
        return lost

    def end(self) -> None:
        """Let what is stopped go on, to hear of its end."""
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
        """Stop with the process that asked for the execution, and go on with it."""
        if self._caller is not None and process_state(self._caller) == "T":  # not "t": who is in a debugger goes on
            self.stopped = True
            self._tell(signal.SIGSTOP)  # again each time: something may have been started meanwhile
        else:
            self.end()


def _peer_of(connection: socket.socket) -> int | None:
    """Return the process at the other end of a connection; none where the system does not say."""
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        pid: int = _PEER_CREDENTIALS.unpack(credentials)[0]
        return pid or None
    return None

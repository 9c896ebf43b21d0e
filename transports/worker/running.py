"""The caller's side of one execution under way: hear its outcome, have it stopped."""

import math
import socket
import time
from contextlib import suppress
from typing import Final

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError
from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.process_tree import end_tree
from climate_ref_prefect.transports.worker.wire import CANCEL, END, wait_for_input

_LOOK_SECONDS: Final = 1.0
"""How often an execution that is waited for is looked at: it may have been told to end meanwhile."""
_LONGEST_LOOK_SECONDS: Final = 5.0
_FORCE_SECONDS: Final = 5.0
"""How long processes may take to end that were killed."""


class RunningExecution:
    """
    An execution under way; its socket becomes readable when its supervisor has something to say.

    Parameters
    ----------
    directory
        The execution's directory.
    conversation
        With its supervisor, who says its pid in a line, and at the end the outcome.
    """

    def __init__(self, directory: ExecutionDirectory, conversation: socket.socket) -> None:
        self.directory = directory
        self.was_cancelled = False
        """Whether it was told to end because somebody wanted it to."""
        self.was_forced = False
        """Whether it did not answer and was ended by force."""
        self.survivors: list[int] = []
        """Processes that could not be ended by force."""
        self._conversation = conversation
        self._conversation.sendall(f"{directory.path}\n".encode())
        self._answer = b""
        self._grace_seconds = 0.0
        self._longest_seconds = math.inf
        self._waited_seconds = 0.0
        self._looked_at = time.monotonic()

    def expect(self, longest_seconds: float, grace_seconds: float) -> None:
        """Say how long it may take at the longest, and how long from when it is told to end."""
        self._grace_seconds = grace_seconds
        self._longest_seconds = self._waited_seconds + longest_seconds + grace_seconds

    def is_overdue(self) -> bool:
        """
        Whether its supervisor should have answered by now: it was stopped, or hangs in the kernel.

        To be asked every second or so: longer times between two looks are not counted, for then this process
        was stopped itself, and the supervisor as likely.
        """
        now = time.monotonic()
        self._waited_seconds += min(now - self._looked_at, _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        return self._waited_seconds >= self._longest_seconds

    @property
    def pid(self) -> int | None:
        """The process of its supervisor; none as long as it has not said so."""
        line, end, _ = self._answer.partition(b"\n")
        return int(line) if end and line else None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._conversation.fileno()

    def cancel(self) -> None:
        """Have the whole process tree ended; the outcome then says so."""
        self.was_cancelled = True
        self._say(CANCEL)

    def end(self) -> None:
        """Have the whole process tree ended because the job is; the outcome then says so."""
        self._say(END)

    def _say(self, word: bytes) -> None:
        self._longest_seconds = min(self._longest_seconds, self._waited_seconds + self._grace_seconds)
        with suppress(BrokenPipeError):  # it ended by itself in the meantime
            self._conversation.sendall(word)

    def receive(self) -> bool:
        """Take in what has arrived; whether that was all of it."""
        try:
            read = self._conversation.recv(1 << 16)
        except ConnectionResetError:
            read = b""
        self._answer += read
        return not read

    def outcome(self) -> ExecutionOutcome | None:
        """Return what the supervisor said, or left in its file; none if it died before it could."""
        while not self.is_overdue():
            if wait_for_input([self.fileno()], _LOOK_SECONDS) and self.receive():
                break
        else:
            self.end_by_force(_FORCE_SECONDS)
        self.close()
        with suppress(ValueError, SchemaMismatchError):  # cut short, for the supervisor has died while it answered
            return ExecutionOutcome.from_json(self._answer.partition(b"\n")[2])
        return self.directory.read_outcome()

    def end_by_force(self, patience_seconds: float) -> None:
        """
        Kill the supervisor, which does not answer, and all below it.

        Who is not known has not begun: what it does once it goes on is to see that nobody waits for it.
        """
        while wait_for_input([self.fileno()], 0):
            if self.receive():
                return  # it has ended by itself
        self.was_forced = True
        if self.pid is not None:
            self.survivors = end_tree(self.pid, patience_seconds)

    def close(self) -> None:
        """Let go of it: unless it was told to finish without its caller, it ends by itself."""
        self._conversation.close()

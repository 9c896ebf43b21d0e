"""The caller's side of a running execution: receive its outcome, cancel it, kill it if it does not answer."""

import math
import socket
import time
from contextlib import suppress
from typing import Final

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.host.process_tree import end_tree
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.provider_server_protocol import CANCEL, END, wait_for_input

_LOOK_SECONDS: Final = 1.0
"""How often a waiting caller checks whether the execution was asked to end in the meantime."""
_LONGEST_LOOK_SECONDS: Final = 5.0
_FORCE_SECONDS: Final = 5.0
"""How long killed processes may take to end."""


class RunningExecution:
    """
    A running execution. Its socket becomes readable when its supervisor sends something.

    Parameters
    ----------
    directory
        The execution's directory.
    conversation
        The socket to its supervisor, which sends its pid in a line and, at the end, the outcome.
    """

    def __init__(self, directory: ExecutionDirectory, conversation: socket.socket) -> None:
        self.directory = directory
        self.was_cancelled = False
        """Whether it was asked to end because its caller cancelled it."""
        self.was_forced = False
        """Whether it did not answer and was killed."""
        self.survivors: list[int] = []
        """Processes that could not be killed."""
        self._conversation = conversation
        self._conversation.sendall(f"{directory.path}\n".encode())
        self._answer = b""
        self._grace_seconds = 0.0
        self._longest_seconds = math.inf
        self._waited_seconds = 0.0
        self._looked_at = time.monotonic()

    def expect(self, longest_seconds: float, grace_seconds: float) -> None:
        """Set how long it may take at most, and how long once it has been asked to end."""
        self._grace_seconds = grace_seconds
        self._longest_seconds = self._waited_seconds + longest_seconds + grace_seconds

    def is_overdue(self) -> bool:
        """
        Whether its supervisor should have answered by now. If it has not, it was stopped or hangs in the kernel.

        Call this about once a second. A longer time between two calls is not counted, because this process was
        itself stopped then, and its supervisor probably with it.
        """
        now = time.monotonic()
        self._waited_seconds += min(now - self._looked_at, _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        return self._waited_seconds >= self._longest_seconds

    @property
    def pid(self) -> int | None:
        """The pid of its supervisor; None until the supervisor has sent it."""
        line, end, _ = self._answer.partition(b"\n")
        return int(line) if end and line else None

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._conversation.fileno()

    def cancel(self) -> None:
        """Cancel it: the supervisor ends the whole process tree, and the outcome says that it was cancelled."""
        self.was_cancelled = True
        self._say(CANCEL)

    def end(self) -> None:
        """End the whole process tree because its batch job ends. The outcome says that the worker was lost."""
        self._say(END)

    def _say(self, word: bytes) -> None:
        self._longest_seconds = min(self._longest_seconds, self._waited_seconds + self._grace_seconds)
        with suppress(BrokenPipeError):  # It has ended in the meantime.
            self._conversation.sendall(word)

    def receive(self) -> bool:
        """Read what has arrived. Returns whether the supervisor has sent everything."""
        try:
            read = self._conversation.recv(1 << 16)
        except ConnectionResetError:
            read = b""
        self._answer += read
        return not read

    def outcome(self) -> ExecutionOutcome | None:
        """Return the outcome that the supervisor sent or wrote to its file; None if it died before that."""
        while not self.is_overdue():
            if wait_for_input([self.fileno()], _LOOK_SECONDS) and self.receive():
                break
        else:
            self.end_by_force(_FORCE_SECONDS)
        self.close()
        with suppress(ValueError, SchemaMismatchError):  # Incomplete, because the supervisor died while it answered.
            return ExecutionOutcome.from_json(self._answer.partition(b"\n")[2])
        return self.directory.read_outcome()

    def end_by_force(self, timeout_seconds: float) -> None:
        """
        Kill the supervisor, which does not answer, and all processes below it.

        A supervisor that has not sent its pid has not started the diagnostic. Once it goes on, it finds that its
        caller is gone, and ends.
        """
        while wait_for_input([self.fileno()], 0):
            if self.receive():
                return  # It has ended already.
        self.was_forced = True
        if self.pid is not None:
            self.survivors = end_tree(self.pid, timeout_seconds)

    def close(self) -> None:
        """Close the connection. The execution ends unless its envelope says that it finishes without its caller."""
        self._conversation.close()

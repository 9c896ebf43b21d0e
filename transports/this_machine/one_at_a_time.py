"""`inline`: one execution after another, for small runs, notebooks and debugging."""

import warnings
from collections import deque
from pathlib import Path
from time import sleep
from typing import Literal

from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.transports.base_transport import cancelled_early
from climate_ref_prefect.transports.port import Ended, Submission
from climate_ref_prefect.transports.resource_packing import Packing
from climate_ref_prefect.transports.this_machine.subprocess_transport import SubprocessTransport


class UnguardedWarning(UserWarning):
    """Warns that executions run in this process: a crash ends it, and no deadline applies."""


class InlineTransport(SubprocessTransport):
    """
    One child process at a time, with the same worker, deadline and telemetry as in every transport.

    With `in_process=True` the diagnostic runs in this process instead, so that `breakpoint()` and
    `pdb` work: then without deadline, isolation and memory limit, which a warning says.
    """

    kind: Literal["inline"] = "inline"

    in_process: bool = False
    """Whether to run the diagnostic in this process, for a debugger."""

    _waiting: deque[Submission] = PrivateAttr(default_factory=deque)
    _ended: deque[Ended] = PrivateAttr(default_factory=deque)

    @property
    def slots(self) -> int:
        """One execution runs and one is ready."""
        return 1 if self.in_process else 2

    def take_servers(self, servers: ServerPool) -> None:
        """Use provider servers that run already. With `in_process` they are ended, because nothing is forked."""
        if self.in_process:
            servers.close()
        else:
            super().take_servers(servers)

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution behind the others."""
        if not self.in_process:
            return super().submit(directory, resources)
        submission = self.submission_of(directory)
        self._waiting.append(submission)
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended; with `in_process`, by running the next one here."""
        if not self.in_process:
            return super().wait(timeout_seconds)
        if self._waiting:
            self._ended.append(self._run(self._waiting.popleft()))
        elif not self._ended:
            sleep(timeout_seconds)
        ended = list(self._ended)
        self._ended.clear()
        return ended

    def cancel(self, submission: Submission) -> None:
        """Cancel an execution that waits or runs in a child. One that runs in this process cannot be cancelled."""
        if not self.in_process:
            super().cancel(submission)
        elif submission in self._waiting:
            self._waiting.remove(submission)
            self._ended.append(Ended(submission=submission, outcome=cancelled_early(submission.directory)))

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Cancel all executions, drop those that wait, and end the provider servers."""
        self._waiting.clear()
        super().close(timeout_seconds)

    def packing(self) -> Packing[Path]:
        """Return a packing of one at a time, whatever its size."""
        return Packing(items=1)

    def _run(self, submission: Submission) -> Ended:
        warnings.warn(
            "inline with in_process=True: no deadline, no memory limit, and a crash ends this process.",
            UnguardedWarning,
            stacklevel=3,
        )
        outcome: ExecutionOutcome = execute_in_process(submission.directory)
        return Ended(submission=submission, outcome=outcome)

"""`inline`: one execution after another, for small runs, notebooks and debugging."""

import warnings
from collections import deque
from pathlib import Path
from time import sleep
from typing import Literal

from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.base import cancelled_early
from climate_ref_prefect.transports.here import HereTransport
from climate_ref_prefect.transports.packing import Packing
from climate_ref_prefect.transports.port import Ended, Submission
from climate_ref_prefect.transports.worker.execute import ServerPool
from climate_ref_prefect.transports.worker.here import execute_here


class UnguardedWarning(UserWarning):
    """Executions run in this very process: a crash takes it along and no deadline holds."""


class InlineTransport(HereTransport):
    """
    One child process at a time, with the same worker, deadline and telemetry as everywhere.

    With `in_process=True` the diagnostic runs in this very process instead, so that `breakpoint()` and
    `pdb` work: then without deadline, isolation and memory limit, which a warning says.
    """

    kind: Literal["inline"] = "inline"

    in_process: bool = False
    """Whether to run the diagnostic in this process, for a debugger."""

    _waiting: deque[Submission] = PrivateAttr(default_factory=deque)
    _ended: deque[Ended] = PrivateAttr(default_factory=deque)

    @property
    def slots(self) -> int:
        """One runs and one is ready."""
        return 1 if self.in_process else 2

    def take_servers(self, servers: ServerPool) -> None:
        """Fork from servers that run already; with `in_process` they are ended, for nothing is forked."""
        if self.in_process:
            servers.close()
        else:
            super().take_servers(servers)

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution behind the others."""
        if not self.in_process:
            return super().submit(directory, resources)
        submission = Submission(transport=self.name, directory=directory.absolute())
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
        """Stop an execution, or keep it from starting; what runs in this process cannot be stopped."""
        if not self.in_process:
            super().cancel(submission)
        elif submission in self._waiting:
            self._waiting.remove(submission)
            self._ended.append(Ended(submission=submission, outcome=cancelled_early(submission.directory)))

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop all that runs and the providers' servers; drop what waits."""
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
        outcome: ExecutionOutcome = execute_here(submission.directory)
        return Ended(submission=submission, outcome=outcome)

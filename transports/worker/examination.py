"""What an execution has left is examined in a thread of its own, so that its supervisor goes on listening meanwhile."""

import os
import threading
from typing import Final

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import InputChangedError
from climate_ref_prefect.diagnostics.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FileRecord
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.inputs import require_planned_inputs
from climate_ref_prefect.transports.worker.manifest import manifest
from climate_ref_prefect.transports.worker.scratch_space import ScratchSpace
from climate_ref_prefect.transports.worker.verdict import judge_exception

_JOIN_SECONDS: Final = 1.0


def judge_inputs(failure: ExecutionFailure | None, envelope: ExecutionEnvelope) -> ExecutionFailure | None:
    """Return the failure that a success or failure is where the inputs did not stay what they were."""
    if failure is not None and FailureKind.INPUT_CHANGED not in FAILURE_RULES[failure.kind].may_hide:
        return failure
    try:
        require_planned_inputs(envelope, "After it had run")
    except InputChangedError as error:
        details = f"It ended as {failure.kind}: {failure.message}\n{failure.details}" if failure else ""
        return ExecutionFailure(kind=FailureKind.INPUT_CHANGED, message=str(error), details=details)
    return failure


class _AbandonedError(Exception):
    """Nobody waits for the result any more."""


class Examination:
    """
    Examines what an execution has left, beginning at once; reading from its descriptor says that it is over.

    A file system that hangs holds up the thread alone.

    Parameters
    ----------
    directory
        Where the execution ran; nothing of it runs any more.
    envelope
        What lies there.
    failure
        How it failed; none if it succeeded, which is when its output is described.
    space
        What is known of the room on scratch.
    """

    def __init__(
        self,
        directory: ExecutionDirectory,
        envelope: ExecutionEnvelope,
        failure: ExecutionFailure | None,
        space: ScratchSpace,
    ) -> None:
        self._directory = directory
        self._space = space
        self._envelope = envelope
        self.failure = failure
        """How it failed, after everything was examined."""
        self.files: tuple[FileRecord, ...] = ()
        """What it has left to be published; nothing if it failed."""
        self._at = "nothing yet"
        self._abandoned = threading.Event()
        self._reading, self._writing = os.pipe()
        self._thread = threading.Thread(target=self._run, name="examine-output", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reading

    def close(self) -> None:
        """Have the thread end; it is not waited for if a file system holds it up."""
        self._abandoned.set()
        self._thread.join(_JOIN_SECONDS)
        os.close(self._reading)

    def overdue(self, limit_seconds: float) -> ExecutionFailure:
        """Return the failure that it is if this takes too long."""
        return self.failure or ExecutionFailure(
            kind=FailureKind.SYSTEM_ERROR,
            message=f"Its output was not described within {limit_seconds:g} s (the limit describe_deadline_seconds), "
            f"last seen at: {self._at}. Either the files that its bundle names are too large for that, or the file "
            f"system of {self._directory.output} is slow.",
        )

    def _run(self) -> None:
        try:
            self._examine()
        except _AbandonedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, what has not been examined is no success
            self.failure = self._space.judge(judge_exception(error))
        finally:
            os.close(self._writing)

    def _examine(self) -> None:
        self.failure = judge_inputs(self.failure, self._envelope)
        if self.failure is None:
            self.files = manifest(self._directory.output, self._note_progress)
        else:
            self.failure = self._space.judge(self.failure)

    def _note_progress(self, name: str, read_bytes: int) -> None:
        self._at = f"{name!r} ({read_bytes >> 20} MiB of it)"
        if self._abandoned.is_set():
            raise _AbandonedError

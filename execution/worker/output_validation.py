"""Check the output of an execution in a thread, so that its supervisor can answer its caller in the meantime."""

import _thread
import os
from typing import Final

from climate_ref_prefect.diagnostics.errors import InputChangedError
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.input_change_check import require_unchanged_inputs
from climate_ref_prefect.execution.outcome import ExecutionFailure, FileRecord
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception
from climate_ref_prefect.execution.worker.provider_server_protocol import wait_for_input
from climate_ref_prefect.execution.worker.scratch_full_detection import ScratchFullDetector

_JOIN_SECONDS: Final = 1.0


def failure_if_inputs_changed(failure: ExecutionFailure | None, envelope: ExecutionEnvelope) -> ExecutionFailure | None:
    """Return INPUT_CHANGED in place of a success or failure if the input files have changed; else `failure` itself."""
    if failure is not None and FailureKind.INPUT_CHANGED not in FAILURE_RULES[failure.kind].may_hide:
        return failure
    try:
        require_unchanged_inputs(envelope, "After it had run")
    except InputChangedError as error:
        details = f"It ended as {failure.kind}: {failure.message}\n{failure.details}" if failure else ""
        return ExecutionFailure(kind=FailureKind.INPUT_CHANGED, message=str(error), details=details)
    return failure


class _AbandonedError(Exception):
    """The supervisor does not wait for the result any more."""


class OutputValidation:
    """
    Checks the output of an execution in a thread that starts at once. Its descriptor becomes readable at the end.

    A file system that hangs blocks only the thread.

    Parameters
    ----------
    directory
        Directory of the execution, of which no process runs any more.
    envelope
        The envelope of the execution.
    failure
        How it failed; None if it succeeded. The manifest is made only of a success.
    space
        What the supervisor has seen of the free space on scratch.
    """

    def __init__(
        self,
        directory: ExecutionDirectory,
        envelope: ExecutionEnvelope,
        failure: ExecutionFailure | None,
        space: ScratchFullDetector,
    ) -> None:
        self._directory = directory
        self._space = space
        self._envelope = envelope
        self._output = directory.output_of(envelope)
        self.failure = failure
        """How the execution failed, all checks included; None for a success."""
        self.files: tuple[FileRecord, ...] = ()
        """The files to publish; empty if it failed."""
        self.has_bundles = True
        """Whether these are the bundles of this package."""
        self._at = "nothing yet"
        self._is_abandoned = False
        self._reading, self._writing = os.pipe()
        # A `threading.Thread` costs more than the check of a small output. Its end shows at the descriptor anyhow.
        _thread.start_new_thread(self._run, ())

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._reading

    def close(self) -> None:
        """Stop the thread. If a file system blocks it, it is left behind."""
        self._is_abandoned = True
        if wait_for_input([self._reading], _JOIN_SECONDS):
            os.close(self._reading)

    def timed_out(self, limit_seconds: float) -> ExecutionFailure:
        """Return the failure for a check that takes too long."""
        return self.failure or ExecutionFailure(
            kind=FailureKind.SYSTEM_ERROR,
            message=f"Its output was not described within {limit_seconds:g} s (the limit describe_deadline_seconds), "
            f"last seen at: {self._at}. Either the files that its bundle names are too large for that, or the file "
            f"system of {self._output} is slow.",
        )

    def _run(self) -> None:
        try:
            self._examine()
        except _AbandonedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever the error, an execution whose output was not checked is not a success
            self.failure = self._space.classify(failure_from_exception(error))
        finally:
            os.close(self._writing)

    def _examine(self) -> None:
        self.failure = failure_if_inputs_changed(self.failure, self._envelope)
        if self.failure is None:
            own = self._directory.read_result_files()
            self.has_bundles = own is None
            self.files = manifest(self._output, self._note_progress, own.files if own else None)
        else:
            self.failure = self._space.classify(self.failure)

    def _note_progress(self, name: str, read_bytes: int) -> None:
        self._at = f"{name!r} ({read_bytes >> 20} MiB of it)"
        if self._is_abandoned:
            raise _AbandonedError

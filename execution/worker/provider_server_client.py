"""Client of a provider server: starts it, has it run executions, asks what the provider declares."""

import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

from pydantic import JsonValue, ValidationError

from climate_ref_prefect.diagnostics.declaration_errors import describe_validation_error
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.provider import ProviderDescription
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.environment_variables import environment_of_provider
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.failure_mapping import describe_exit, failure_from_exit_during_import
from climate_ref_prefect.execution.worker.provider_server_protocol import (
    DESCRIBE,
    EXECUTE,
    SIZES,
    Ready,
    read_line,
    read_to_end,
)
from climate_ref_prefect.execution.worker.running_execution import RunningExecution
from climate_ref_prefect.execution.worker.size_request import in_requests, write_size_request

logger = logging.getLogger(__name__)
SERVER_MODULE: Final = "climate_ref_prefect.execution.worker.provider_server"
_TAIL_BYTES: Final = 4000
_CLOSE_SECONDS: Final = 2.0


class ProviderImportError(ClimateRefPrefectError):
    """A provider could not be imported: it raised, hung or crashed."""

    def __init__(self, failure: ExecutionFailure) -> None:
        self.failure = failure
        super().__init__(failure.message)


class ProviderCodeError(ClimateRefPrefectError):
    """A provider's own code failed while it described itself or said what an execution needs."""


class ProviderServer:
    """
    A warm server for one provider, started and owned by this process.

    Parameters
    ----------
    reference
        The provider and its isolation.
    cpu
        Number of threads that BLAS and OpenMP may use. It is set before the provider is imported.
    """

    def __init__(self, reference: ProviderReference, cpu: int = 1) -> None:
        self.ready = False
        """Whether the provider has been imported and warmed up."""
        self.obstacles: tuple[str, ...] = ()
        """Why executions start in new interpreters although they should be forked; empty if they are forked."""
        self._reference = reference
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable,
                    *("-P", "-m", SERVER_MODULE, reference.target, reference.isolation, str(theirs.fileno())),
                ],
                env=environment_of_provider(cpu),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether the server process still runs."""
        return self._process.poll() is None

    def execute(self, directory: ExecutionDirectory) -> RunningExecution:
        """Ask the server to fork a supervisor for an execution. Returns at once."""
        ours = self._request(EXECUTE)
        return RunningExecution(directory, ours)

    def describe(self, timeout_seconds: float) -> ProviderDescription:
        """
        Ask the provider what it declares.

        Raises
        ------
        ProviderCodeError
            If the provider's code fails or does not answer in time.
        """
        answer = self._ask(DESCRIBE, b"", timeout_seconds)
        try:
            return ProviderDescription.model_validate(answer)
        except ValidationError as error:
            raise ProviderCodeError(
                f"Provider {self._reference.target} describes itself wrongly: {describe_validation_error(error)}."
            ) from error

    def sizes(
        self, definitions: Sequence[ExecutionDefinition], timeout_seconds: float
    ) -> list[ResourceHint | ExecutionFailure]:
        """
        Ask the diagnostics which resources some executions need, or why that fails. Raises as `describe` does.

        The time limit is that of one request: many definitions are sent in several.
        """
        answers = (self._ask(SIZES, write_size_request(few), timeout_seconds) for few in in_requests(definitions))
        return [_size(item) for answer in answers for item in answer]  # type: ignore[attr-defined]

    def close(self) -> None:
        """End the server, whatever it is doing. A running execution goes on for as long as its caller listens."""
        if self._log.closed:
            return
        with suppress(OSError):  # It has ended already.
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._control.close()
        self._log.close()

    def wait_until_ready(self, deadline_seconds: float) -> None:
        """
        Wait until the provider is imported and warmed up. Closes the server if that fails.

        Raises
        ------
        ProviderImportError
            If the import raises, hangs or crashes.
        """
        try:
            self._hear_that_it_is_ready(deadline_seconds)
        except ProviderImportError:
            self.close()
            raise

    def _hear_that_it_is_ready(self, deadline_seconds: float) -> None:
        self._control.settimeout(deadline_seconds)
        try:
            line = read_line(self._control)
        except TimeoutError as error:
            self._process.kill()  # The process may be stuck where no signal handler runs.
            raise self._import_error(f"was not imported after {deadline_seconds:g} s") from error
        self._control.settimeout(None)
        if not line:
            failure = failure_from_exit_during_import(self._reference.target, self._process.wait(), self._log_tail())
            raise ProviderImportError(failure)
        ready = Ready.model_validate_json(line)
        if ready.failure is not None:
            raise ProviderImportError(ready.failure)
        self._note(ready.obstacles)
        self.ready = True

    def _note(self, obstacles: Sequence[str]) -> None:
        if obstacles and not self.obstacles:
            logger.warning(
                "Each execution of provider %s starts a new interpreter, which takes longer: forked processes would "
                "share what it holds open once it is imported, which is: %s. Open these in `run`, or declare "
                'isolation="fresh".',
                self._reference.target,
                ", ".join(obstacles),
            )
        self.obstacles = tuple(obstacles)

    def _import_error(self, what: str) -> ProviderImportError:
        message = f"Provider {self._reference.target} {what}."
        return ProviderImportError(
            ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message=message, details=self._log_tail())
        )

    def _log_tail(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode(errors="replace")

    def _how_it_ended(self) -> str:
        """Return a line that says how the server ended, followed by the lines that it printed."""
        try:
            how = f": {describe_exit(self._process.wait(_CLOSE_SECONDS))}"
        except subprocess.TimeoutExpired:
            how = ""
        printed = self._log_tail().strip()
        last = f"; the last that it printed: {printed.splitlines()[-1]}" if printed else "."
        return f"{how}{last}\n{printed}"

    def _request(self, kind: bytes) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [kind], [theirs.fileno()])
        return ours

    def _ask(self, kind: bytes, asked: bytes, timeout_seconds: float) -> object:
        with self._request(kind) as conversation:
            conversation.settimeout(timeout_seconds)
            conversation.sendall(asked)
            conversation.shutdown(socket.SHUT_WR)
            try:
                answered = read_to_end(conversation)
            except TimeoutError as error:
                raise ProviderCodeError(
                    f"Provider {self._reference.target} did not answer in {timeout_seconds:g} s."
                ) from error
        if not answered:
            raise ProviderCodeError(f"Provider {self._reference.target} crashed{self._how_it_ended()}")
        answer = json.loads(answered)
        self._note(answer["obstacles"])
        if "failure" in answer:
            failure = ExecutionFailure.model_validate(answer["failure"])
            raise ProviderCodeError(f"Provider {self._reference.target} failed: {failure.message}\n{failure.details}")
        return answer["value"]


def _size(told: Mapping[str, JsonValue]) -> ResourceHint | ExecutionFailure:
    if "failure" in told:
        return ExecutionFailure.model_validate(told["failure"])
    try:
        return ResourceHint.model_validate(told["hint"])
    except ValidationError as error:  # Constructed without validation.
        message = f"resources_for returned a wrong ResourceHint: {describe_validation_error(error)}"
        return ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message=message)

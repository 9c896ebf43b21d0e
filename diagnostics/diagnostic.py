"""The two kinds of diagnostic that a provider declares."""

import errno
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.errors import CommandFailedError, CommandKilledError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

_SHELL_REPORTS_SIGNAL = 128
"""A shell exits with 128 + n if its child was killed by signal n."""
_SIGKILL = 9
_CANNOT_BE_EXECUTED = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC, errno.E2BIG)
"""Errors of starting a command that will recur at each attempt."""


class Diagnostic(ABC):
    """
    A computation on groups of data sets.

    A subclass sets the class attributes and implements `run`.
    """

    slug: ClassVar[str]
    """Short name in lower case, digits, dots, dashes and underscores, unique within the provider."""

    name: ClassVar[str]
    """Name for people."""

    version: ClassVar[str] = "1"
    """Increase it whenever the numbers may change. Executions that succeeded with another version are run again."""

    data: ClassVar[DataRequirement]
    """Which data sets it reads and how they are grouped. Each group is one execution."""

    resources: ClassVar[ResourceHint] = ResourceHint()
    """What one execution needs."""

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        """Return what this execution needs. Override it if the need grows with the input."""
        return self.resources

    @abstractmethod
    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """
        Compute the result, writing plots and data below `output_directory`.

        Parameters
        ----------
        definition
            The data sets to read.
        output_directory
            An existing, empty directory that belongs to this execution only.

        Raises
        ------
        DiagnosticError
            If these inputs cannot give a result. The execution is not retried.
            Any other exception counts the same, `SystemExit` too, but for `OSError` and `MemoryError`.
        """


class CommandLineDiagnostic(Diagnostic):
    """A diagnostic that is an external command, which is run in the output directory."""

    @abstractmethod
    def command(self, definition: ExecutionDefinition, output_directory: Path) -> Sequence[str]:
        """Return the program and its arguments, which are not passed through a shell."""

    @abstractmethod
    def collect(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Build the result from what the command left in the output directory."""

    def environment(self, definition: ExecutionDefinition) -> Mapping[str, str] | None:
        """Return the whole environment of the command; None to pass on the worker's."""
        return None

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Run the command, then collect its result."""
        command = list(self.command(definition, output_directory))
        try:
            ended = subprocess.run(  # noqa: S603 - the command is the provider's own, and no shell is involved
                command, cwd=output_directory, env=self.environment(definition), check=False
            )
        except OSError as error:
            _raise_if_missing(command, error, output_directory)
            raise
        _raise_if_failed(command, ended.returncode)
        return self.collect(definition, output_directory)


def _raise_if_missing(command: Sequence[str], error: OSError, working_directory: Path) -> None:
    """Raise that the command cannot be started, unless the node or its file system has failed."""
    if error.errno in _CANNOT_BE_EXECUTED and str(error.filename) != str(working_directory):
        raise CommandFailedError(
            f"{command[0]} cannot be started: {error.strerror}. Is it installed where the diagnostic runs, executable, "
            "and on the PATH of the worker?"
        ) from error


def _raise_if_failed(command: Sequence[str], code: int) -> None:
    program = command[0]
    if code in (-_SIGKILL, _SHELL_REPORTS_SIGNAL + _SIGKILL):
        raise CommandKilledError(f"{program} was killed (exit code {code})")
    if code != 0:
        raise CommandFailedError(f"{program} ended with exit code {code}; what it printed is in run.log")

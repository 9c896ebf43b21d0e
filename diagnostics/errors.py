"""
The base errors of this package.

::

    ClimateRefPrefectError
    ├── BadInputError               refused before anything starts
    │   ├── UnknownNameError        an unknown name; the message lists the valid ones
    │   └── ProviderReferenceError  an import reference that leads to no provider
    ├── UnreadableDocumentError     a file of an execution that is empty, torn or no such document
    │   └── SchemaMismatchError     a file written by another version
    ├── DiagnosticError             raised by a diagnostic: it can never succeed as it stands
    │   └── CommandFailedError      an external command could not be started or ended with an error
    ├── InputChangedError           a data file is not what it was when the execution was planned
    ├── CommandKilledError          an external command was killed by a signal
    └── ResultValidationError       a result that breaks its format
        └── VocabularyMismatchError a value outside the controlled vocabulary
"""

import difflib
from collections.abc import Iterable
from pathlib import Path


class ClimateRefPrefectError(Exception):
    """Base of every error that this package raises on purpose."""


class BadInputError(ClimateRefPrefectError, ValueError):
    """The request is invalid. Nothing has been started."""


class UnknownNameError(BadInputError):
    """A provider, diagnostic, transport or setting of that name does not exist."""

    def __init__(self, what: str, name: str, valid: Iterable[str], hint: str = "") -> None:
        self.name = name
        self.valid = tuple(sorted(valid))
        known = ", ".join(self.valid) or "none"
        close = difflib.get_close_matches(name, self.valid, 1)
        meant = f" Is it {close[0]!r}?" if close else ""
        super().__init__(f"There is no {what} {name!r}. Valid: {known}.{meant}{hint}")


class ProviderReferenceError(BadInputError):
    """An import reference does not lead to a `DiagnosticProvider`."""


class UnreadableDocumentError(ClimateRefPrefectError):
    """
    A file through which coordinator and worker communicate cannot be read.

    Parameters
    ----------
    message
        One sentence for people.
    path
        The file, in the directory of its execution; None for text that was not read from a file.
    """

    def __init__(self, message: str, path: Path | None = None) -> None:
        self.path = path
        super().__init__(message)


class SchemaMismatchError(UnreadableDocumentError):
    """A document was written in another version of the file protocol."""

    def __init__(self, document: str, *, found: object, expected: int, path: Path | None = None) -> None:
        self.found = found
        self.expected = expected
        super().__init__(
            f"{path or document} has schema version {found!r}, this version of climate-ref-prefect reads {expected}. "
            "Use the same version on the coordinator and on the nodes.",
            path,
        )


class DiagnosticError(ClimateRefPrefectError):
    """Raised by a diagnostic whose inputs or method cannot give a result; it is not retried."""


class CommandFailedError(DiagnosticError):
    """The external command of a diagnostic could not be started, or ended with a non-zero exit code."""


class InputChangedError(ClimateRefPrefectError):
    """An input file has changed since the execution was planned."""


class CommandKilledError(ClimateRefPrefectError):
    """The external command of a diagnostic was killed. Telemetry tells whether memory was exhausted."""


class ResultValidationError(ClimateRefPrefectError):
    """A result does not have the required format."""


class VocabularyMismatchError(ResultValidationError):
    """A dimension or value is not in the controlled vocabulary."""

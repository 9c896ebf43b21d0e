"""The directory of one execution on scratch: the file protocol between coordinator and worker."""

import errno
import math
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.base_models import Document
from climate_ref_prefect.diagnostics.errors import SchemaMismatchError, UnreadableDocumentError
from climate_ref_prefect.diagnostics.execution_result import ResultFiles
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.closed_attempt import Closed
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.execution.open_regular_file import NotARegularFileError, open_regular
from climate_ref_prefect.execution.outcome import ExecutionOutcome, Telemetry

_NOTHING_TO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems that cannot sync a directory: CIFS, VirtualBox, some of FUSE."""
_POLL_SECONDS = 0.2
_LARGEST_DOCUMENT_BYTES = 256 << 20
"""Larger than an outcome that lists a million files."""
AnyDocument = TypeVar("AnyDocument", bound=Document)


class ExecutionDirectory:
    """
    One execution's files: envelope, claim, telemetry, log, output, outcome and closing.

    Parameters
    ----------
    path
        `<scratch>/<fragment>`; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.output = path / "output"
        self.log = path / "run.log"
        self._envelope = path / "envelope.json"
        self._claim = path / "claim.json"
        self._telemetry = path / "telemetry.json"
        self._outcome = path / "outcome.json"
        self._closed = path / "closed.json"
        self._result_files = path / "result-files.json"

    def output_of(self, envelope: ExecutionEnvelope) -> Path:
        """Return where the diagnostic writes: `output`, unless the envelope names another directory."""
        return envelope.output_directory or self.output

    def write_envelope(self, envelope: ExecutionEnvelope) -> None:
        """Make the directory, accessible to the user only, and write the envelope into it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(self._envelope, envelope.to_json())

    def read_envelope(self, timeout_seconds: float = 0.0) -> ExecutionEnvelope:
        """
        Read the envelope and wait for it, because a shared file system may show it late.

        Raises
        ------
        FileNotFoundError
            If it has not appeared in `timeout_seconds`.
        UnreadableDocumentError
            If it is not an envelope; `SchemaMismatchError` if the coordinator uses another version of the protocol.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while not self._envelope.exists() and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
        envelope = _read(self._envelope, ExecutionEnvelope)
        if envelope is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._envelope))
        return envelope

    def claim(self, claim: Claim) -> bool:
        """
        Claim the execution. Returns False if another worker has claimed it; finding one's own claim counts as success.

        An unreadable claim counts as the claim of another, unknown worker.
        """
        if _create(self._claim, claim.to_json()):
            return True
        try:
            found = self.read_claim()
        except UnreadableDocumentError:
            return False
        return found is not None and found.token == claim.token

    def read_claim(self) -> Claim | None:
        """Return the claim of the execution; None if no worker has claimed it."""
        return _read(self._claim, Claim)

    def is_claimed(self) -> bool:
        """Whether a worker has claimed the execution, readably or not."""
        return os.path.lexists(self._claim)

    def write_telemetry(self, telemetry: Telemetry) -> None:
        """Replace the telemetry. It is not forced to disk, because the next one follows soon."""
        _replace(self._telemetry, telemetry.to_json())

    def read_telemetry(self) -> Telemetry | None:
        """Return the last telemetry; None if there is none."""
        return _read(self._telemetry, Telemetry)

    def last_telemetry(self) -> Telemetry:
        """Return the last telemetry; empty telemetry if there is none or it cannot be read."""
        try:
            return self.read_telemetry() or Telemetry()
        except (OSError, UnreadableDocumentError):  # After a power cut the file may be torn and hold no telemetry.
            return Telemetry()

    def has_outcome(self) -> bool:
        """Whether there is an outcome file, readable or not."""
        return os.path.lexists(self._outcome)

    def last_sign_of_life(self) -> tuple[int, int] | None:
        """Return a value that changes with every heartbeat of the execution; None before the first one."""
        for path in (self._telemetry, self._claim):
            with suppress(FileNotFoundError):
                status = path.lstat()
                return status.st_mtime_ns, status.st_ino
        return None

    def silence_seconds(self) -> float:
        """
        Return the time since the last heartbeat, by the clock of the file system; infinite if there was none.

        A claim counts as a heartbeat as well, because a newly claimed execution has no telemetry yet.
        """
        sign = self.last_sign_of_life()
        if sign is None:
            return math.inf
        with tempfile.TemporaryFile(dir=self.path) as now:
            return (os.fstat(now.fileno()).st_mtime_ns - sign[0]) / 1e9

    def write_result_files(self, files: ResultFiles) -> None:
        """Leave the names of the files of a result in a format of the provider's own."""
        _replace(self._result_files, files.to_json())

    def read_result_files(self) -> ResultFiles | None:
        """Return the names of the files of a result in a format of the provider's own; none for bundles."""
        return _read(self._result_files, ResultFiles)

    def write_outcome(self, outcome: ExecutionOutcome) -> None:
        """Write the outcome. Its content is on disk before its name appears."""
        _replace(self._outcome, outcome.to_json(), durable=True)

    def read_outcome(
        self, timeout_seconds: float = 0.0, pause: Callable[[float], object] = time.sleep
    ) -> ExecutionOutcome | None:
        """
        Return the outcome and wait for it up to `timeout_seconds`; None if it does not appear.

        `pause` waits between two reads. It ends the waiting by returning a true value.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while (outcome := _read(self._outcome, ExecutionOutcome)) is None and time.monotonic() < give_up_at:
            if pause(_POLL_SECONDS):
                break
        return outcome

    def close(self, reason: str) -> bool:
        """Give the attempt up. Returns False if it had been given up before."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _create(self._closed, Closed(reason=reason, closed_at=time.time()).to_json())

    def is_closed(self) -> bool:
        """Whether the coordinator has given the attempt up."""
        return os.path.lexists(self._closed)


def _read(path: Path, document: type[AnyDocument]) -> AnyDocument | None:
    """Return a document; None if there is no such file. Every error names the path."""
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_DOCUMENT_BYTES:
                raise UnreadableDocumentError(f"{path} is no {document.__name__}: it is too large.", path)
            text = file.read()
    except FileNotFoundError:
        return None
    except (NotARegularFileError, PermissionError) as error:
        raise UnreadableDocumentError(f"{path} cannot be read: {error.strerror}.", path) from error
    try:
        return document.from_json(text)
    except SchemaMismatchError as error:
        if error.found is None:
            raise UnreadableDocumentError(f"{path} is no {document.__name__}: it names no version.", path) from error
        raise SchemaMismatchError(document.__name__, found=error.found, expected=error.expected, path=path) from error
    except ValidationError as error:
        reason = "it is empty" if not text.strip() else f"it is torn or something else. {_first_of(error)}"
        raise UnreadableDocumentError(f"{path} is no {document.__name__}: {reason}.", path) from error


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


def _create(path: Path, text: str) -> bool:
    """
    Create a file whose whole content is on disk before its name appears.

    Returns False if the name exists already. link(2) makes this atomic.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        _write(temporary, text, durable=True)
        with write_point(path.name):
            os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _replace(path: Path, text: str, *, durable: bool = False) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        _write(temporary, text, durable=durable)
        with write_point(path.name):
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def _write(path: Path, text: str, *, durable: bool) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Force the names in a directory to disk, if its file system can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_TO_SYNC:
            raise
    finally:
        os.close(descriptor)

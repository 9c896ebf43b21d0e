"""The directory of one execution on scratch: the file protocol between coordinator and worker."""

import errno
import hashlib
import math
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import SchemaMismatchError, UnreadableDocumentError
from climate_ref_prefect.diagnostics.fault_points import write_point
from climate_ref_prefect.diagnostics.model import Document
from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome, FileRecord, Telemetry
from climate_ref_prefect.transports.worker.documents import Claim, Closed
from climate_ref_prefect.transports.worker.regular_files import NotARegularFileError, open_regular

_NOTHING_TO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that know no fsync of directories: CIFS, VirtualBox, some of FUSE."""
_POLL_SECONDS = 0.2
_CHUNK_BYTES = 1 << 20
_LARGEST_DOCUMENT_BYTES = 256 << 20
"""More than an outcome has that lists a million files."""
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

    def write_envelope(self, envelope: ExecutionEnvelope) -> None:
        """Make the directory, for the user alone, and put the envelope there."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(self._envelope, envelope.to_json())

    def read_envelope(self, patience_seconds: float = 0.0) -> ExecutionEnvelope:
        """
        Read the envelope, waiting for it: a shared file system may show it late.

        Raises
        ------
        FileNotFoundError
            If it has not appeared in `patience_seconds`.
        UnreadableDocumentError
            If it is none; `SchemaMismatchError` if the coordinator speaks another version of the protocol.
        """
        give_up_at = time.monotonic() + patience_seconds
        while not self._envelope.exists() and time.monotonic() < give_up_at:
            time.sleep(_POLL_SECONDS)
        envelope = _read(self._envelope, ExecutionEnvelope)
        if envelope is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._envelope))
        return envelope

    def claim(self, claim: Claim) -> bool:
        """
        Claim the execution; false if another worker has it. Finding one's own claim counts as success.

        A claim that cannot be read is that of another, of whom nothing is known.
        """
        if _create(self._claim, claim.to_json()):
            return True
        try:
            found = self.read_claim()
        except UnreadableDocumentError:
            return False
        return found is not None and found.token == claim.token

    def read_claim(self) -> Claim | None:
        """Return who claimed the execution, if anyone has."""
        return _read(self._claim, Claim)

    def write_telemetry(self, telemetry: Telemetry) -> None:
        """Replace the telemetry; it is not forced to disk, the next one comes soon."""
        _replace(self._telemetry, telemetry.to_json())

    def read_telemetry(self) -> Telemetry | None:
        """Return the last sign of life, if there was any."""
        return _read(self._telemetry, Telemetry)

    def last_telemetry(self) -> Telemetry:
        """Return the last sign of life; an empty one where there is none or it cannot be read."""
        try:
            return self.read_telemetry() or Telemetry()
        except (OSError, UnreadableDocumentError):  # after a power cut it may be torn, and says nothing
            return Telemetry()

    def has_outcome(self) -> bool:
        """Whether an outcome has been left, though it may be one that cannot be read."""
        return os.path.lexists(self._outcome)

    def last_sign_of_life(self) -> tuple[int, int] | None:
        """Return what changes whenever the execution gives a sign of life; none if it has given none."""
        for path in (self._telemetry, self._claim):
            with suppress(FileNotFoundError):
                status = path.lstat()
                return status.st_mtime_ns, status.st_ino
        return None

    def silence_seconds(self) -> float:
        """
        Return the time since the last sign of life, by the clock of the file system; infinite if there was none.

        A claim is a sign of life as well: what has just been claimed has no telemetry yet.
        """
        sign = self.last_sign_of_life()
        if sign is None:
            return math.inf
        with tempfile.TemporaryFile(dir=self.path) as now:
            return (os.fstat(now.fileno()).st_mtime_ns - sign[0]) / 1e9

    def write_outcome(self, outcome: ExecutionOutcome) -> None:
        """Leave the last word, safely on disk before its name appears."""
        _replace(self._outcome, outcome.to_json(), durable=True)

    def read_outcome(
        self, patience_seconds: float = 0.0, pause: Callable[[float], object] = time.sleep
    ) -> ExecutionOutcome | None:
        """
        Return the outcome, waiting for it up to `patience_seconds`; none if it does not come.

        `pause` waits between two looks; it ends the waiting by returning something true.
        """
        give_up_at = time.monotonic() + patience_seconds
        while (outcome := _read(self._outcome, ExecutionOutcome)) is None and time.monotonic() < give_up_at:
            if pause(_POLL_SECONDS):
                break
        return outcome

    def close(self, reason: str) -> bool:
        """Give the attempt up; false if it was given up before."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _create(self._closed, Closed(reason=reason, closed_at=time.time()).to_json())

    def is_closed(self) -> bool:
        """Whether the coordinator has given the attempt up."""
        return os.path.lexists(self._closed)


def describe_file(path: Path, relative_path: str) -> FileRecord:
    """Return size and SHA-256 of a file, to be known by `relative_path`."""
    digest = hashlib.sha256()
    size_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size_bytes += len(chunk)
    return FileRecord(path=relative_path, size_bytes=size_bytes, sha256=digest.hexdigest())


def _read(path: Path, document: type[AnyDocument]) -> AnyDocument | None:
    """Return a document; none if there is no such file. Whatever is wrong with it is told with its path."""
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
    """Create a file with its whole content, on disk before its name is; or find that it is there: link(2) is atomic."""
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
    """Force the names in a directory to disk, where its file system has such a thing."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_TO_SYNC:
            raise
    finally:
        os.close(descriptor)

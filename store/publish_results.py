"""Publish results: copy them from scratch to the results directory, checked, and visible all at once or not at all."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory, sync_directory
from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.execution.open_output_file import UnusableFileError, open_output_file
from climate_ref_prefect.execution.outcome import FileRecord
from climate_ref_prefect.execution.output_manifest import check_files, published_names, read_outputs

LOG: Final = "run.log"
_DIRECTORY_MODE: Final = 0o750
_CHUNK_BYTES: Final = 1 << 20
_ZEROS: Final = bytes(_CHUNK_BYTES)
_LARGEST_LOG_BYTES: Final = 1 << 30


class PublishError(ClimateRefPrefectError):
    """The files on scratch, or those that exist in the results directory, differ from what the worker left."""


class OutputUnreadableError(ClimateRefPrefectError):
    """The output of an execution on scratch cannot be read or is gone. Another run may succeed."""


def publish(
    execution: ExecutionDirectory,
    manifest: Iterable[FileRecord],
    target: Path,
    confirm: Callable[[], object] = lambda: None,
    output: Path | None = None,
) -> None:
    """
    Copy the log, the bundles and the files that they name to `target`.

    Copies go to a temporary directory on the file system of `target`, are checked against the manifest,
    and get their name by one rename. If the target exists already, it is checked instead.

    Parameters
    ----------
    execution
        Where the execution ran.
    manifest
        The files that the worker left there.
    target
        `<results>/<fragment>`, which exists and is complete afterwards.
    confirm
        Called immediately before the results get their name. It raises to prevent that.
    output
        Where the files of the manifest lie; none for `output` in the execution's directory.

    Raises
    ------
    PublishError
        If a file differs from the manifest, or is not in it, or the log is no file.
    OutputUnreadableError
        If a file to be copied cannot be read.
    ResultValidationError
        If the output bundle is invalid, or names something outside its directory.
    OSError
        If the file system fails. Nothing is visible at `target` then.
    """
    output = output or execution.output
    _check_is_there(execution, output)
    wanted = _wanted(output, manifest)
    _remove_earlier_copies(target)
    if os.path.lexists(target):
        _verify(target, wanted)
        return
    target.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    temporary = target.parent / f".incoming-{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        with write_point("copy of results"):
            _copy(execution, output, wanted, temporary)
        confirm()
        with write_point("name of results"):
            temporary.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_earlier_copies(target: Path) -> None:
    """Remove copies that earlier tries could not remove, for example because the file system became read-only."""
    prefix = f".incoming-{target.name}-"
    with suppress(OSError):  # The copy will report what is wrong with the directory.
        for name in os.listdir(target.parent):  # noqa: PTH208 - asked for each execution
            if name.startswith(prefix):
                _remove(target.parent / name)


def verify(target: Path, manifest: Iterable[FileRecord] | None) -> None:
    """
    Check that published results are complete.

    Parameters
    ----------
    target
        `<results>/<fragment>`.
    manifest
        The files that the worker left; None if that is unknown. Then only missing files and links are found.

    Raises
    ------
    PublishError, ResultValidationError, OSError
        As `publish`.
    """
    if manifest is None:
        check_files(read_outputs(target), target)
    else:
        _verify(target, _wanted(target, manifest))


def verify_output(execution: ExecutionDirectory, manifest: Iterable[FileRecord], output: Path) -> None:
    """
    See that what an execution left is there and whole, for a recorder that leaves it where it is.

    Parameters
    ----------
    execution, manifest
        As for `publish`.
    output
        Where the files of the manifest lie.

    Raises
    ------
    PublishError, OutputUnreadableError, ResultValidationError
        As `publish`.
    """
    _check_is_there(execution, output)
    _verify(output, _wanted(output, manifest))


def verify_files(execution: ExecutionDirectory, manifest: Iterable[FileRecord], output: Path) -> None:
    """
    See that all files of a manifest are there and whole, whatever their format.

    Parameters and errors are those of `verify_output`, which asks the bundles what belongs to a result.
    """
    _check_is_there(execution, output)
    _verify(output, manifest)


def _check_is_there(execution: ExecutionDirectory, output: Path) -> None:
    if execution.path.is_symlink():
        raise PublishError(f"{execution.path} is a link, not the directory that the coordinator made.")
    if not os.path.lexists(output):
        raise OutputUnreadableError(f"{output} is gone.")


def _wanted(output: Path, manifest: Iterable[FileRecord]) -> list[FileRecord]:
    try:
        outputs = read_outputs(output)
        check_files(outputs, output)
    except OSError as error:
        raise OutputUnreadableError(f"{output} cannot be read: {error}.") from error
    names = published_names(outputs)
    records = {record.path: record for record in manifest}
    if missing := sorted(names - records.keys()):
        raise PublishError(f"The worker's manifest does not list {', '.join(missing)} of {output}.")
    return [records[name] for name in sorted(names)]


def _copy(execution: ExecutionDirectory, output: Path, wanted: Iterable[FileRecord], target: Path) -> None:
    target.mkdir(mode=_DIRECTORY_MODE)
    with _held(target):
        _fill(execution, output, wanted, target)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Check at the end that a directory is still the same, because its name may belong to another one by then."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield
        if not os.path.samestat(os.fstat(descriptor), directory.stat()):
            raise FileNotFoundError(errno.ENOENT, "it was removed while it was filled", str(directory))
    finally:
        os.close(descriptor)


def _fill(execution: ExecutionDirectory, output: Path, wanted: Iterable[FileRecord], target: Path) -> None:
    _write(target / LOG, _log_chunks(execution))
    for record in wanted:
        destination = target / record.path
        destination.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        _write(destination, _checked_chunks(output, record))
    sync_directory(target)


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file and force it to disk. Blocks of zeros become holes, as they may have been before."""
    with path.open("xb", buffering=0) as file:
        for chunk in chunks:
            if chunk == _ZEROS[: len(chunk)]:
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                _write_all(file, chunk)
        file.truncate(file.tell())
        os.fsync(file.fileno())


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # A disk that has just become full writes a part, and fails at the next write.
        rest = rest[file.write(rest) :]


def _verify(target: Path, wanted: Iterable[FileRecord]) -> None:
    for record in wanted:
        for _ in _checked_chunks(target, record):
            continue


def _checked_chunks(root: Path, record: FileRecord) -> Iterator[bytes]:
    """Read a file to its end. Raises if it is not the one that the worker left."""
    digest = hashlib.sha256()
    for chunk in _chunks(root, record.path, record.size_bytes):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != record.sha256:
        raise _another_file(root / record.path, "the SHA-256 differs")


def _log_chunks(execution: ExecutionDirectory) -> Iterator[bytes]:
    return _chunks(execution.path, LOG)


def _chunks(root: Path, name: str, size_bytes: int | None = None) -> Iterator[bytes]:
    """Read a regular file below a directory without following links. It must have the size, or that of a log."""
    try:
        with os.fdopen(open_output_file(root, name), "rb", buffering=0) as file:
            found_bytes = os.fstat(file.fileno()).st_size
            if found_bytes != size_bytes if size_bytes is not None else found_bytes > _LARGEST_LOG_BYTES:
                raise _another_file(root / name, f"it is {found_bytes} bytes long")
            remaining_bytes = found_bytes  # Data that another program appends meanwhile is not copied.
            while remaining_bytes and (chunk := file.read(min(_CHUNK_BYTES, remaining_bytes))):
                remaining_bytes -= len(chunk)
                yield chunk
    except UnusableFileError as error:
        raise _another_file(root / name, f"it {error}") from error
    except OSError as error:
        raise OutputUnreadableError(f"{root / name} cannot be read: {error}.") from error


def _another_file(path: Path, reason: str) -> PublishError:
    return PublishError(f"{path} is not the file that the worker left: {reason}.")


def remove_leftovers(results: Path) -> None:
    """
    Remove what interrupted copies left behind. Only the coordinator of the store that owns `results` may call this.

    Each is renamed first: a copy that goes on after all, of a coordinator that does not know yet that it has been
    replaced, then either has its name already and stays whole, or fails.
    """
    for leftover in results.glob("*/*/*/.incoming-*"):
        _remove(leftover)


def _remove(leftover: Path) -> None:
    doomed = leftover.with_name(f".incoming-removed-{uuid.uuid4().hex[:8]}")
    with suppress(OSError):  # It has got its name meanwhile, or the next coordinator removes it.
        leftover.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

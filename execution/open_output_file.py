"""Open the output files that a diagnostic names: only regular files inside its own directory, reached by no link."""

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

from climate_ref_prefect.diagnostics.errors import ResultValidationError

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SPARSE_BYTES: Final = 1 << 30
_SPARSE_SHARE: Final = 100
"""A file longer than `_SPARSE_BYTES` is refused if less than one part in `_SPARSE_SHARE` of it is data."""
_BLOCK_BYTES: Final = 512
"""Unit of `st_blocks`, independent of the block size of the file system."""
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISLNK, "is or passes through a link"),
    (stat.S_ISDIR, "is a directory"),
    (stat.S_ISFIFO, "is a named pipe"),
    (stat.S_ISSOCK, "is a socket"),
    (stat.S_ISCHR, "is a device"),
    (stat.S_ISBLK, "is a device"),
)


class UnusableFileError(ResultValidationError):
    """A name does not lead to a regular file that can be read, hashed and copied. The message says what is there."""


def open_output_file(root: Path, name: str) -> int:
    """
    Open a regular file below a directory for reading, and return its descriptor.

    Only regular files are opened, because a named pipe would wait for its other end and a device might act.

    Parameters
    ----------
    root
        The directory. It may be reached through links, but must not be a link itself.
    name
        Path below it, with `/`.

    Raises
    ------
    UnusableFileError
        If there is no such file, it is not a regular file, it is reached by a link, it consists of holes, or its name
        is not text.
    OSError
        If the file system fails.
    """
    parts = _parts_of(name)
    folder = _step_into(root, None)
    try:
        for part in parts[:-1]:
            above, folder = folder, _step_into(part, folder)
            os.close(above)
        return _open_file(parts[-1], folder)
    finally:
        os.close(folder)


def _parts_of(name: str) -> tuple[str, ...]:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UnusableFileError("is not UTF-8: no JSON file could hold its name") from error
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in name:
        raise UnusableFileError("is no path inside the output directory")
    return parts


def _step_into(part: str | Path, folder: int | None) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=folder)
    except (NotADirectoryError, FileNotFoundError) as error:
        raise UnusableFileError(_what_is_there(part, folder, "does not exist")) from error


def _open_file(part: str, folder: int) -> int:
    if words := _what_is_there(part, folder, ""):
        raise UnusableFileError(words)
    descriptor = os.open(part, _FILE, dir_fd=folder)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and not _is_mostly_holes(descriptor, status):
        return descriptor
    os.close(descriptor)
    raise UnusableFileError(f"is sparse: it is {status.st_size} bytes long, and nearly all of that are holes")


def _what_is_there(part: str | Path, folder: int | None, otherwise: str) -> str:
    """Return why something cannot be opened as a file, or `otherwise`."""
    try:
        mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return "does not exist"
    return next((words for is_of_kind, words in _KINDS if is_of_kind(mode)), otherwise)


def _is_mostly_holes(descriptor: int, status: os.stat_result) -> bool:
    """
    Whether a file would take over a hundred times the room once it is copied.

    A file system may compress data or count blocks late, so it is asked where the holes are.
    """
    enough = status.st_size // _SPARSE_SHARE
    if status.st_size <= _SPARSE_BYTES or status.st_blocks * _BLOCK_BYTES >= enough:
        return False
    data_bytes = end = 0
    while data_bytes < enough:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # There is no more data, or the file system cannot distinguish holes from data.
            break
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        data_bytes += end - begin
    os.lseek(descriptor, 0, os.SEEK_SET)
    return data_bytes < enough

"""The manifest of an output directory: its bundles and the files that they name, with size and SHA-256."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.execution.open_output_file import UnusableFileError, open_output_file
from climate_ref_prefect.execution.outcome import FileRecord

_CHUNK_BYTES: Final = 1 << 20
_LARGEST_BUNDLE_BYTES: Final = 1 << 28
Progress = Callable[[str, int], None]
"""Called with the file and the number of bytes that have been read. It may raise to stop the reading."""


def manifest(
    output: Path, progress: Progress = lambda name, read_bytes: None, names: Iterable[str] | None = None
) -> tuple[FileRecord, ...]:
    """
    Describe the files of a result, sorted by path: those that are named, or the bundles and what they name.

    Any other file is not read and stays on scratch.

    Parameters
    ----------
    output
        The output directory.
    progress
        Called after each MiB.
    names
        The files; None for the bundles and the files that the output bundle names.

    Raises
    ------
    ResultValidationError
        If the output bundle is invalid, or one of the files is not a regular file inside the directory.
    OSError
        If the file system fails.
    """
    wanted = published_names(read_outputs(output)) if names is None else set(names)
    return tuple(_describe(output, name, progress) for name in sorted(wanted))


def read_outputs(output: Path) -> OutputBundle:
    """
    Return the output bundle of an output directory.

    Raises
    ------
    ResultValidationError
        If there is no valid bundle, or it is larger than 256 MiB.
    """
    content = bytearray()
    for chunk in _chunks(output, OUTPUT_BUNDLE):
        content += chunk
        if len(content) > _LARGEST_BUNDLE_BYTES:
            raise ResultValidationError(f"{output / OUTPUT_BUNDLE} is longer than {_LARGEST_BUNDLE_BYTES >> 20} MiB.")
    try:
        return OutputBundle.model_validate_json(bytes(content))
    except ValidationError as error:
        raise ResultValidationError(f"{output / OUTPUT_BUNDLE} is no output bundle: {error}") from error


def published_names(outputs: OutputBundle) -> set[str]:
    """Return the names of all files of a result: the bundles, and the files that the output bundle names."""
    return {METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES} | {file.filename for _, _, file in outputs.files()}


def check_files(outputs: OutputBundle, output: Path) -> None:
    """
    Refuse an output bundle that names something else than regular files inside its own directory.

    Raises
    ------
    ResultValidationError
        If a file is missing, not a regular file, sparse, a link or reached through a link. Names the first one.
    """
    for output_type, short_name, file in outputs.files():
        try:
            os.close(open_output_file(output, file.filename))
        except UnusableFileError as error:
            raise ResultValidationError(
                f"{output_type} {short_name!r} names {file.filename!r}, which {error}."
            ) from error


def check_names(names: Iterable[str], output: Path) -> None:
    """
    Refuse a result that names what is not a regular file inside its own directory.

    Raises
    ------
    ResultValidationError
        Naming the first file that is missing, no regular file, sparse, a link, or reached through one.
    """
    for name in names:
        try:
            os.close(open_output_file(output, name))
        except UnusableFileError as error:
            raise ResultValidationError(f"The result names {name!r}, which {error}.") from error


def _describe(output: Path, name: str, progress: Progress) -> FileRecord:
    digest = hashlib.sha256()
    size_bytes = 0
    for chunk in _chunks(output, name):
        digest.update(chunk)
        size_bytes += len(chunk)
        progress(name, size_bytes)
    return FileRecord(path=name, size_bytes=size_bytes, sha256=digest.hexdigest())


def _chunks(output: Path, name: str) -> Iterator[bytes]:
    try:
        descriptor = open_output_file(output, name)
    except UnusableFileError as error:
        raise ResultValidationError(f"The output should have the file {name!r}, which {error}.") from error
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk

"""REF's result of an execution on scratch: written by the worker, read by the coordinator."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.ref import upstream

RESULT_FILE: Final = "climate-ref-prefect-result.json"
"""Beside REF's own files, none of which has this name. REF copies it nowhere."""


def write_result(result: Any, output_directory: Path) -> None:
    """Leave REF's result as REF serialises it."""
    text = json.dumps(upstream.to_wire(result), allow_nan=False)
    (output_directory / RESULT_FILE).write_text(text, encoding="utf-8")


def read_result(output_directory: Path) -> Any:
    """
    Return REF's result.

    Raises
    ------
    OSError
        If it is not there, or cannot be read.
    ResultValidationError
        If it is something else.
    """
    text = (output_directory / RESULT_FILE).read_text(encoding="utf-8")
    try:
        return upstream.from_wire(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ResultValidationError(f"{output_directory / RESULT_FILE} is no result of REF: {error!r}.") from error


def result_files(result: Any, output_directory: Path) -> tuple[str, ...]:
    """
    Return the names of all files that REF would keep of a result, and of the result itself.

    Raises
    ------
    ResultValidationError
        If the result names something outside the output directory, has no metric bundle, or an output bundle that is
        not there or is none.
    """
    if result.metric_bundle_filename is None:
        raise ResultValidationError("The result has no metric bundle, which REF needs of every success.")
    names = {RESULT_FILE, *(relative_name(path, output_directory) for path in _named_paths(result))}
    return tuple(sorted(name for name in names if not _is_reached_by_link(output_directory, name)))


def _named_paths(result: Any) -> Iterator[Path | str]:
    yield result.metric_bundle_filename
    if result.series_filename:
        yield result.series_filename
    if result.output_bundle_filename:
        yield result.output_bundle_filename
        bundle = _read_output_bundle(result.to_output_path(result.output_bundle_filename))
        for outputs in (bundle.plots, bundle.data, bundle.html):
            for output in (outputs or {}).values():
                yield output.filename


def _read_output_bundle(path: Path) -> Any:
    try:
        return upstream.CMECOutput.load_from_json(path)
    except (FileNotFoundError, ValueError) as error:  # Another attempt would leave the same: no fault of the disk.
        raise ResultValidationError(f"The result names the output bundle {path.name!r}: {error}") from error


def relative_name(path: Path | str, output_directory: Path) -> str:
    """Return the name of a file below the output directory; raises `ResultValidationError` if it lies elsewhere."""
    try:
        return str(upstream.ensure_relative_path(path, output_directory))
    except ValueError as error:
        raise ResultValidationError(f"The result names {str(path)!r}, outside its own directory.") from error


def _is_reached_by_link(output_directory: Path, name: str) -> bool:
    """Whether a name is or passes through a link. REF follows links, and a manifest does not."""
    path = output_directory
    return any((path := path / part).is_symlink() for part in Path(name).parts)

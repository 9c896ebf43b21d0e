"""`climate-ref-prefect log`: print the log of an execution, whatever that file contains."""

import os
import sys
from pathlib import Path
from typing import IO, Final

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.open_regular_file import open_regular
from climate_ref_prefect.flows.display.text_escaping import escape_control_characters
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.query_results import ExecutionRow

_ON_A_TERMINAL_BYTES: Final = 1_000_000
_AT_MOST_BYTES: Final = 256_000_000
"""Larger than any log may grow. A sparse file can claim any size."""
_CHUNK_BYTES: Final = 1 << 16


def print_log(settings: Settings, row: ExecutionRow) -> None:
    """
    Print the log of an execution: unchanged into a file or a pipe, with control characters escaped on a terminal.

    A log that is too long is printed without its middle, with a line that says so.

    Raises
    ------
    BadInputError
        If there is no log, or it is not a regular file.
    """
    path = _log_path(settings, row)
    on_terminal = sys.stdout.isatty()
    with _open(path) as file:
        _print_both_ends(file, path, _ON_A_TERMINAL_BYTES if on_terminal else _AT_MOST_BYTES, on_terminal=on_terminal)
    sys.stdout.flush()


def _print_both_ends(file: IO[bytes], path: Path, longest: int, *, on_terminal: bool) -> None:
    size = os.fstat(file.fileno()).st_size
    if size <= longest:
        _print(file, size, on_terminal=on_terminal)
        return
    _print(file, longest // 2, on_terminal=on_terminal)
    sys.stdout.flush()
    sys.stdout.buffer.write(f"\n[... {size - longest // 2 * 2} bytes left out; all are in {path}]\n".encode())
    file.seek(size - longest // 2)
    _print(file, longest // 2, on_terminal=on_terminal)


def _print(file: IO[bytes], size: int, *, on_terminal: bool) -> None:
    if on_terminal:
        sys.stdout.write(escape_control_characters(file.read(size).decode(errors="backslashreplace")))
        return
    while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
        sys.stdout.buffer.write(chunk)
        size -= len(chunk)


def _open(path: Path) -> IO[bytes]:
    try:
        return open_regular(path)
    except OSError as error:
        raise BadInputError(f"The log {path} cannot be read: {error.strerror or error}.") from error


def _log_path(settings: Settings, row: ExecutionRow) -> Path:
    candidates = [settings.scratch_directory / row.fragment / "run.log"]
    if row.results_path is not None:
        candidates.insert(0, Path(row.results_path) / "run.log")
    for path in candidates:
        if os.path.lexists(path):
            return path
    raise BadInputError(f"Execution {row.execution_id} has left no log (looked at {candidates[-1]}).")

"""Make a directory, and find out whether it can be written."""

import tempfile
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import BadInputError


def make_writable(directory: Path, what: str, variable: str, mode: int = 0o700) -> None:
    """Make a directory where it is missing, and try to write in it; `BadInputError` says what to do if that fails."""
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise BadInputError(
            f"The {what} {directory} cannot be written: {error.strerror or error}. "
            f"Give another one in {variable}, or make it writable."
        ) from error

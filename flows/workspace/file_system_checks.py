"""Check before anything runs that the file systems of a workspace support locks and hard links."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.doctor_finding import Finding, ok, skipped, wrong

_WITHOUT_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


def check_file_systems(settings: Settings) -> None:
    """
    Try in the state directory and on scratch the operations that a solve relies on. This takes a few system calls.

    Raises
    ------
    BadInputError
        If one of them is missing. The message says which one and what to do.
    """
    try:
        problems = list(_problems(settings))
    except OSError:  # It cannot be written. The code that makes the directories will report that.
        return
    for problem, remedy in problems:
        raise BadInputError(f"{problem} {remedy[0].upper()}{remedy[1:]}")


def examine_file_systems(settings: Settings) -> Iterator[Finding]:
    """Yield the same checks as findings of `doctor`."""
    try:
        problems = list(_problems(settings))
    except OSError as error:
        yield skipped("File locks and hard links", f"{error.filename} cannot be written ({error.strerror})")
        return
    yield from (wrong(problem, remedy) for problem, remedy in problems)
    if not problems:
        yield ok("The state directory has file locks, and scratch has hard links.")


def _problems(settings: Settings) -> Iterator[tuple[str, str]]:
    home, scratch = settings.home_directory, settings.scratch_directory
    if why := _why_no_locks(home):
        yield (
            f"The file system of the state directory {home} has no file locks (flock: {why}), which keep two solves "
            "apart.",
            "give a directory on another file system in CLIMATE_REF_PREFECT_HOME, or have this one mounted with locks.",
        )
    if why := _why_no_links(scratch):
        yield (
            f"The file system of the scratch directory {scratch} has no hard links (link: {why}), by which an "
            "execution is claimed once.",
            "give a directory on another file system in CLIMATE_REF_PREFECT_SCRATCH.",
        )


def _why_no_locks(directory: Path) -> str:
    with tempfile.TemporaryFile(dir=_that_exists(directory)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            return error.strerror or str(error)
    return ""


def _why_no_links(directory: Path) -> str:
    with tempfile.TemporaryDirectory(dir=_that_exists(directory), prefix=".links-") as place:
        first, second = Path(place, "first"), Path(place, "second")
        first.touch()
        try:
            os.link(first, second)
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _that_exists(directory: Path) -> Path:
    """Return a directory, or the nearest existing one above it, because the check must not create it."""
    return next(place for place in (directory, *directory.parents) if place.is_dir())

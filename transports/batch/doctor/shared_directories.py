"""Check the directories that coordinator and nodes share: they can be made, written, kept private and removed."""

import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.worker.doctor_node_checks import COORDINATORS_TOKEN
from climate_ref_prefect.transports.doctor_finding import Finding, ok, wrong

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
SHARED: Final = "shared directory"
SCRATCH: Final = "scratch directory"
SETTINGS: Final = {SHARED: "`shared_directory` of the profile", SCRATCH: "CLIMATE_REF_PREFECT_SCRATCH"}
"""The setting or field that names each of them."""


class SharedDirectory:
    """
    A directory of the doctor's own, with a token of the coordinator's in it.

    Parameters
    ----------
    name
        Name of the directory below which it is made: `SHARED` or `SCRATCH`.
    above
        That directory.
    """

    def __init__(self, name: str, above: Path) -> None:
        self.name = name
        self.above = above
        self.token = uuid.uuid4().hex
        self.path = Path(tempfile.mkdtemp(prefix="doctor-", dir=above))
        (self.path / COORDINATORS_TOKEN).write_text(self.token, encoding="utf-8")


def make_shared_directory(name: str, above: Path, stack: ExitStack) -> Generator[Finding, None, SharedDirectory | None]:
    """Check that a directory can be made and written and, if it holds keys, that no other user can read it."""
    try:
        place = stack.enter_context(_open_place(name, above))
        seen_by_others = name == SHARED and _is_open_to_others(above)
    except OSError as error:
        told = error.strerror or str(error)
        yield wrong(
            f"The {name} {above} cannot be written: {told}.", f"make it writable, or set another: {SETTINGS[name]}."
        )
        return None
    if seen_by_others:
        yield wrong(
            f"The {name} {above} is not for you alone: keys and logs lie there.",
            f"`chmod 700 {above}` where it is yours, or set another: {SETTINGS[name]}.",
        )
    else:
        yield ok(f"The {name} {above} can be written{', and is private' if name == SHARED else ''}.")
    return place


@contextmanager
def _open_place(name: str, above: Path) -> Iterator[SharedDirectory]:
    missing = [level for level in (above, *above.parents) if not os.path.lexists(level)]
    with ExitStack() as ending:
        for level in reversed(missing):
            ending.callback(_remove_if_empty, level)
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = SharedDirectory(name, above)
        ending.callback(shutil.rmtree, place.path, ignore_errors=True)
        yield place


def _remove_if_empty(directory: Path) -> None:
    with suppress(OSError):  # It was never made, or something else has taken its place.
        directory.rmdir()


def _is_open_to_others(directory: Path) -> bool:
    status = directory.stat()
    return bool(status.st_mode & _OTHERS) or status.st_uid != os.geteuid()

"""A disk that can be full or read-only on demand."""

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_FILLING = ".filling"


@dataclass(frozen=True)
class Disk:
    """A small file system that is mounted for one test."""

    path: Path

    def fill(self) -> None:
        """Leave no byte free."""
        fill(self.path)

    def free(self) -> None:
        """Take the filling away again."""
        (self.path / _FILLING).unlink()

    def make_read_only(self) -> None:
        """Make it read-only, even for root."""
        remount(self.path, "ro")

    def make_writable(self) -> None:
        """Let everybody write again."""
        remount(self.path, "rw")


def fill(path: Path) -> None:
    """Use every byte of the file system that a directory is on."""
    with (path / _FILLING).open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(os.sysconf("SC_PAGE_SIZE")))


def remount(path: Path, option: str) -> None:
    """Mount a file system anew with another option."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)

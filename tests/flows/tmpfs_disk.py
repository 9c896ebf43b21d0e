"""A disk that can be full or read-only on demand."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

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

    def is_filled(self) -> bool:
        """Whether the filling is there."""
        return (self.path / _FILLING).exists()

    def make_read_only(self) -> None:
        """Make it read-only, even for root."""
        remount(self.path, "ro")

    def make_writable(self) -> None:
        """Let everybody write again."""
        remount(self.path, "rw")


@contextmanager
def small_disk(directory: Path) -> Iterator[Disk]:
    """Give a file system of 4 MiB on a directory, which is made."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield Disk(directory)
    subprocess.run(["umount", str(directory)], check=True)


def fill(path: Path) -> None:
    """Use every byte of the file system that a directory is on."""
    with (path / _FILLING).open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(os.sysconf("SC_PAGE_SIZE")))


def remount(path: Path, option: str) -> None:
    """Mount a file system anew with another option."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)

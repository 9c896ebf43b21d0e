"""Programs in the place of a scheduler's commands."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Program: TypeAlias = Callable[[str, str], None]
"""Writes a program of a name: a shell script with this body."""


def program_writer(directory: Path) -> Program:
    """Return what writes programs into a directory, which is to be all of PATH, with what their scripts need."""
    directory.mkdir()
    for name in ("cat", "sleep"):
        (directory / name).symlink_to(Path("/usr/bin") / name)

    def write(name: str, body: str) -> None:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return write

"""Unreadable documents, as a power cut, another version or a diagnostic may leave them."""

import os
from collections.abc import Callable
from pathlib import Path


def _make_hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(b'{"schema_version":1,"token":"0f3'),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 16),
    "zeros": lambda path: path.write_bytes(b"\0" * 512),
    "another shape": lambda path: path.write_text('{"schema_version": 1, "surprise": []}'),
    "a list": lambda path: path.write_text("[1, 2]"),
    "no version": lambda path: path.write_text("{}"),
    "another version": lambda path: path.write_text('{"schema_version": 99}'),
    "a directory": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a document": lambda path: path.symlink_to("/proc/self/status"),
    "a pipe": os.mkfifo,
    "a hole of 1 TiB": _make_hole,
}
"""Ways to put something at a path that no document can be read from."""

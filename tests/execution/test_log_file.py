"""The end of a log, whatever lies in its place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from climate_ref_prefect.execution.log_file import end_of_log

LONGEST_BYTES = 100


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"x" * 200 + b"\nlast\n", "last\n"),
        (b"x" * 200, "x" * 100),
        (b"warning\n" + b"x" * 200 + b"\n", "x" * 99 + "\n"),
        (b"\xff\n", "\\xff\n"),
    ],
    ids=["empty", "short", "whole lines", "one line", "one line that ends", "no UTF-8"],
)
def test_it_ends_with_what_was_written_last(tmp_path: Path, content: bytes, expected: str) -> None:
    log = tmp_path / "run.log"
    log.write_bytes(content)
    assert end_of_log(log, LONGEST_BYTES) == expected


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/etc/hostname")]
)
def test_what_is_no_file_is_an_error_and_is_not_waited_for(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "run.log")
    with pytest.raises(OSError, match=r"."):
        end_of_log(tmp_path / "run.log", LONGEST_BYTES)

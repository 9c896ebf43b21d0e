"""Notes that diagnostics leave for the tests, in a directory that an environment variable names."""

import os
from pathlib import Path
from typing import NamedTuple

NOTES = "FLOW_TESTS_NOTES"
DATABASE = "FLOW_TESTS_DATABASE"
"""Environment variables; they do not begin as those of the coordinator, which no diagnostic gets to see."""
_RUNS = "runs"


class Run(NamedTuple):
    """The begin of one run of a diagnostic."""

    diagnostic: str
    key: str
    directory: str


def notes() -> Path:
    """Return where notes are left."""
    return Path(os.environ[NOTES])


def note_run(run: Run) -> None:
    """Add a run to those of the test; lines of several processes never mix."""
    descriptor = os.open(notes() / _RUNS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(run) + "\n").encode())
    os.close(descriptor)


def read_runs(directory: Path) -> list[Run]:
    """Return the runs that were noted, in order."""
    path = directory / _RUNS
    return [Run(*line.split(" ")) for line in path.read_text().splitlines()] if path.exists() else []

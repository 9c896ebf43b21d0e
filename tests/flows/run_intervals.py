"""When and where diagnostics ran, noted by themselves, so that a test can tell whether two did at the same time."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import Process
from tests.flows.run_log import Run, notes

_LIVES = "lives"


class Life(NamedTuple):
    """One run of a diagnostic."""

    diagnostic: str
    key: str
    directory: str
    pid: int
    started: str
    began: float
    """Seconds since the epoch."""
    ended: float | None
    """None if it was killed, or still runs."""
    beside: tuple[str, ...]
    """Directories of attempts at the same group that were still at work when this one began."""

    @property
    def group(self) -> tuple[str, str]:
        """What it was about."""
        return self.diagnostic, self.key

    @property
    def process(self) -> Process:
        """Where it ran."""
        return Process(self.pid, self.started)

    @property
    def at_work(self) -> bool:
        """Whether its process is alive and has not come to the end of the run."""
        return self.ended is None and self.process.alive


@contextmanager
def noted(run: Run) -> Iterator[None]:
    """Note the begin of a run, who of its group is still at work, and its end unless it is killed before."""
    began = time.time()
    beside = [
        life.directory for life in read_lives(notes()) if life.group == (run.diagnostic, run.key) and life.at_work
    ]
    _append(
        {**run._asdict(), "pid": os.getpid(), "started": process_start(os.getpid()), "began": began, "beside": beside}
    )
    try:
        yield
    finally:
        _append({"directory": run.directory, "ended": time.time()})


def read_lives(directory: Path) -> list[Life]:
    """Return all runs, in the order of their begins."""
    path = directory / _LIVES
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    ended = {line["directory"]: line["ended"] for line in lines if "ended" in line}
    begun = [line for line in lines if "began" in line]
    return [Life(**{**line, "beside": tuple(line["beside"]), "ended": ended.get(line["directory"])}) for line in begun]


def _append(line: dict[str, object]) -> None:
    """Add a line; those of several processes never mix."""
    descriptor = os.open(notes() / _LIVES, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{json.dumps(line)}\n".encode())
    os.close(descriptor)

"""What executions leave in their directories, and jobs in theirs, where no worker tells it."""

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.heartbeat_expiry import heartbeat_expiry_seconds
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.transports.batch.pool.pool_state import is_of_its_job

_TAIL_BYTES: Final = 4096


class Heartbeats:
    """
    The signs of life of executions that are followed by their files.

    Parameters
    ----------
    delay_seconds
        How late the files of a node may show here.
    """

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._seen: dict[Path, tuple[int, float]] = {}

    def keep(self, directories: Iterable[Path]) -> None:
        """Forget all executions but these: whoever is followed again later is given its time again."""
        kept = set(directories)
        self._seen = {directory: seen for directory, seen in self._seen.items() if directory in kept}

    def have_ceased(self, directories: Iterable[Path]) -> bool:
        """Return whether every execution has left an outcome, or no sign of life for some heartbeats and the delay."""
        ceased = [self._has_ceased(directory) for directory in directories]  # each of them, to see its heartbeats
        return all(ceased)

    def _has_ceased(self, path: Path) -> bool:
        directory, now = ExecutionDirectory(path), time.monotonic()
        if directory.has_outcome():
            return True
        sequence = directory.last_telemetry().sequence
        last, since = self._seen.get(path, (None, now))
        if sequence != last:
            since = now
        self._seen[path] = sequence, since
        return now - since > heartbeat_expiry_seconds(directory, self._delay_seconds)


def outcome_left(path: Path) -> ExecutionOutcome | None:
    """Return the outcome that an execution has left in its directory, unless the scheduler knows better."""
    try:
        outcome = ExecutionDirectory(path).read_outcome()
    except (OSError, UnreadableDocumentError):
        return None  # who settles it reads it again, and tells what is wrong
    return None if outcome is None or is_of_its_job(outcome) else outcome


def is_silent(execution: ExecutionDirectory, delay_seconds: float) -> bool:
    """Return whether an execution has left an outcome, or its last sign of life is old, shown with this delay."""
    return execution.has_outcome() or execution.silence_seconds() > heartbeat_expiry_seconds(execution, delay_seconds)


def output_of_job(job_id: str, logs: Path) -> str | None:
    """
    Return the end of what a job has printed; none where there is no such file.

    Parameters
    ----------
    job_id
        As the scheduler gave it, for example `4711;cm2` or `27.pbs1`.
    logs
        Where the output of jobs lies.
    """
    number = re.escape(re.split(r"[;.]", job_id, maxsplit=1)[0])
    name = re.compile(rf"{number}\..*|.*-{number}\.log|.*\.o{number}")
    with suppress(OSError):
        for path in logs.iterdir():
            if name.fullmatch(path.name):
                return _tail(path)
    return None


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        return file.read().decode("utf-8", errors="backslashreplace")

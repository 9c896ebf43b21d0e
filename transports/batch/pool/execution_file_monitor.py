"""Follow executions and jobs by the files that they write, where no worker is connected to report on them."""

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
from climate_ref_prefect.transports.batch.pool.termination import is_explained_by_job

_TAIL_BYTES: Final = 4096


class Heartbeats:
    """
    The heartbeats of executions that are followed by their files.

    Parameters
    ----------
    delay_seconds
        How late files that a node has written may become visible here.
    """

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._seen: dict[Path, tuple[int, float]] = {}

    def keep(self, directories: Iterable[Path]) -> None:
        """Forget all executions except these. One that is followed again later gets the full time again."""
        kept = set(directories)
        self._seen = {directory: seen for directory, seen in self._seen.items() if directory in kept}

    def have_ceased(self, directories: Iterable[Path]) -> bool:
        """Return whether each execution has an outcome, or no heartbeat for some heartbeat intervals and the delay."""
        ceased = [self._has_ceased(directory) for directory in directories]  # a list, so that every heartbeat is read
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
    """Return the outcome in the directory of an execution, unless the scheduler knows the reason better."""
    try:
        outcome = ExecutionDirectory(path).read_outcome()
    except (OSError, UnreadableDocumentError):
        return None  # The transport driver reads it again and reports the error.
    return None if outcome is None or is_explained_by_job(outcome) else outcome


def is_silent(execution: ExecutionDirectory, delay_seconds: float) -> bool:
    """Return whether an execution has an outcome, or its last heartbeat is too old, given this delay of files."""
    return execution.has_outcome() or execution.silence_seconds() > heartbeat_expiry_seconds(execution, delay_seconds)


def output_of_job(job_id: str, logs: Path) -> str | None:
    """
    Return the end of a job's output; None if there is no such file.

    Parameters
    ----------
    job_id
        As the scheduler gave it, for example `4711;cm2` or `27.pbs1`.
    logs
        The directory of the jobs' output.
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

"""Run `ref solve` and watch it: its duration, how its executions succeed over time, and the memory of its process."""

import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.ref.home import RefHome

_INTERVAL_SECONDS = 0.25
_KB_PER_MB = 1024
_TICKS_PER_SECOND = 100
"""In `/proc/PID/stat`, on every Linux that Python runs on."""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment: seconds since the start, processor time of the process, and counts of rows."""

    seconds: float
    cpu_seconds: float
    made: int
    succeeded: int


@dataclass
class WatchedSolve:
    """
    One `ref solve` that has ended.

    Attributes
    ----------
    seconds
        From the start of the command to its end.
    samples
        What was seen of it, in order.
    peak_pss_mb, peak_rss_mb
        Most memory that the process of the command had; that of the processes that it starts is not in it.
    """

    seconds: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    peak_pss_mb: float = 0.0
    peak_rss_mb: float = 0.0

    @property
    def succeeded(self) -> int:
        """How many executions succeeded."""
        return self.samples[-1].succeeded

    def made_at(self) -> float:
        """Return when climate-ref had made its last execution; the samples say it to a quarter of a second."""
        return next(sample.seconds for sample in self.samples if sample.made == self.samples[-1].made)

    def at(self, count: int) -> Sample:
        """Return a moment at which so many executions had succeeded, between the two samples around it."""
        later = next(index for index, sample in enumerate(self.samples) if sample.succeeded >= count)
        after = self.samples[later]
        before = self.samples[later - 1] if later else after
        part = (count - before.succeeded) / max(1, after.succeeded - before.succeeded)
        return Sample(
            seconds=before.seconds + part * (after.seconds - before.seconds),
            cpu_seconds=before.cpu_seconds + part * (after.cpu_seconds - before.cpu_seconds),
            made=after.made,
            succeeded=count,
        )


def watch_solve(home: RefHome, count: int, log: Path) -> WatchedSolve:
    """
    Solve so many executions and return what was seen.

    Parameters
    ----------
    home
        Its database is migrated and knows the data.
    count
        How many executions; climate-ref leaves the rest for later.
    log
        Where to write what the command prints.

    Raises
    ------
    SystemExit
        If the command fails, or not all executions succeed. The message names the log.
    """
    watched = WatchedSolve()
    began = time.monotonic()
    with log.open("wb") as output:
        solve = subprocess.Popen(
            home.command("solve", "--timeout", "0", "--limit", str(count)),
            env=home.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while _ended(solve) is None:
                _look(watched, home.database, solve.pid, time.monotonic() - began)
        finally:
            solve.kill()  # It has ended, unless something has gone wrong here.
    watched.seconds = time.monotonic() - began
    watched.samples.append(Sample(watched.seconds, watched.samples[-1].cpu_seconds, *_counts(home.database)))
    if solve.returncode != 0 or watched.succeeded != count:
        raise SystemExit(
            f"{watched.succeeded} of {count} executions succeeded, and `ref solve` ended with {solve.returncode}; "
            f"what it said is in {log}."
        )
    return watched


def _ended(solve: "subprocess.Popen[bytes]") -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return solve.wait(_INTERVAL_SECONDS)
    return None


def _look(watched: WatchedSolve, database: Path, pid: int, seconds: float) -> None:
    with suppress(OSError):  # It may have ended meanwhile.
        watched.peak_pss_mb = max(watched.peak_pss_mb, _memory_mb(pid, "smaps_rollup", "Pss"))
        watched.peak_rss_mb = max(watched.peak_rss_mb, _memory_mb(pid, "status", "VmHWM"))
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        watched.samples.append(
            Sample(seconds, (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND, *_counts(database))
        )


def _memory_mb(pid: int, file: str, name: str) -> float:
    for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / _KB_PER_MB
    return 0.0


def _counts(database: Path) -> tuple[int, int]:
    query = "SELECT count(*), coalesce(sum(successful), 0) FROM execution"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        made, succeeded = connection.execute(query).fetchone()
    return int(made), int(succeeded)

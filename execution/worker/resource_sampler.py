"""Sample the memory and processor time of an execution's process tree, from outside, so that a kill loses no sample."""

import os
import resource
import socket
import time
from collections.abc import Callable, Sequence

from climate_ref_prefect.execution.host.batch_job_id import batch_job
from climate_ref_prefect.execution.host.process_tree import cpu_seconds, descendants, memory_mb, resident_mb
from climate_ref_prefect.execution.outcome import Telemetry

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 0.5
_SHARE_OF_TIME = 20
"""A pause is this many times as long as the sample before it, because sampling a large process is slow."""
_FIRST_EXACT_SECONDS = 2.0
"""Age at which memory is read exactly for the first time, unless it is near its limit before."""
_EXACT_SHARE_OF_TIME = 100
"""Below its limit, memory is read exactly after this many times what the last exact reading took."""
_KIB_PER_MIB = 1024
_RUSAGE_UNIT = _KIB_PER_MIB if os.uname().sysname == "Linux" else _KIB_PER_MIB**2
"""`ru_maxrss` counts KiB on Linux, bytes on macOS."""


class ResourceSampler:
    """
    Samples the descendants of the calling process.

    The resident size (RSS) is read at each sample. The proportional size (PSS) takes the kernel a walk over every page,
    and is never larger, so it is read only where that matters or costs little in comparison.

    Parameters
    ----------
    exact_above_mb
        Resident size in MiB above which every sample reads the proportional size.
    clock
        A monotonic clock in seconds; for tests.
    """

    def __init__(self, exact_above_mb: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._exact_above_mb = exact_above_mb
        self._clock = clock
        self._begun = clock()
        self._ended: float | None = None
        self._suspended_seconds = 0.0
        self._started_at = time.time()
        self._host = socket.gethostname()
        self._floor_mb = resident_mb(os.getpid())
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._samples = 0
        self._peak_mb = 0.0
        self._resident_peak_mb = 0.0
        self._shared_mb: float | None = None
        self._next_exact = self._begun + _FIRST_EXACT_SECONDS
        self._cpu_seconds = 0.0
        self._source = "none"
        self.next_sample = self._begun + _FIRST_PAUSE_SECONDS

    def sample(self, *, exactly: bool = False) -> float:
        """Measure the tree once; return its memory in MiB, or an upper bound that is not near the limit."""
        began = self._clock()
        pids = descendants(os.getpid())
        used_mb = sum(map(resident_mb, pids))
        if exactly or used_mb > self._exact_above_mb or began >= self._next_exact:
            used_mb = self._read_exactly(pids, used_mb)
        else:
            self._resident_peak_mb = max(self._resident_peak_mb, used_mb)
            self._source = "rss" if self._source == "none" else self._source
        self._cpu_seconds = max(self._cpu_seconds, cpu_seconds(pids))
        self._samples += 1
        took = self._clock() - began
        longest = max(_LONGEST_PAUSE_SECONDS, _SHARE_OF_TIME * took)
        self._pause_seconds = min(1.5 * self._pause_seconds, longest)
        self.next_sample = self._clock() + max(self._pause_seconds, _SHARE_OF_TIME * took)
        return used_mb

    def _read_exactly(self, pids: Sequence[int], total_mb: float) -> float:
        began = self._clock()
        used_mb, self._source = memory_mb(pids)
        self._peak_mb = max(self._peak_mb, used_mb)
        if used_mb:  # Else all have ended.
            shared_mb = max(0.0, total_mb - used_mb)
            self._shared_mb = shared_mb if self._shared_mb is None else min(self._shared_mb, shared_mb)
        now = self._clock()
        self._next_exact = now + _EXACT_SHARE_OF_TIME * (now - began)
        return used_mb

    @property
    def elapsed_seconds(self) -> float:
        """Time from the start of the child to its end, without the time in which it was suspended."""
        return (self._clock() if self._ended is None else self._ended) - self._begun - self._suspended_seconds

    def subtract_suspended(self, suspended_seconds: float) -> None:
        """Subtract time in which the child was suspended."""
        if self._ended is None:
            self._suspended_seconds += suspended_seconds

    @property
    def peak_mb(self) -> float:
        """
        Largest memory seen so far, in MiB.

        Of what was resident between two exact readings, the least is subtracted that any of them has found shared.
        """
        return max(self._peak_mb, self._resident_peak_mb - (self._shared_mb or 0.0))

    def telemetry(self, exit_code: int | None = None) -> Telemetry:
        """Return what has been measured so far."""
        return Telemetry(
            sequence=self._samples,
            duration_seconds=self.elapsed_seconds,
            cpu_seconds=self._cpu_seconds,
            peak_rss_mb=round(self.peak_mb, 2),
            memory_source=self._source,
            host=self._host,
            started_at=self._started_at,
            exit_code=exit_code,
            transport_meta={**batch_job(), **self._suspension()},
        )

    def _suspension(self) -> dict[str, float]:
        return {"suspended_seconds": round(self._suspended_seconds, 1)} if self._suspended_seconds else {}

    def finish(self) -> None:
        """Stop the clock of the child, because it has ended."""
        self._ended = self._clock()

    def close(self) -> None:
        """
        Complete the measurements with the kernel's accounts of the children that have ended.

        `ru_maxrss` of a forked child begins at its parent's size, so only the growth counts. It shows the peak of a
        child that ended before the first sample.
        """
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._cpu_seconds = max(self._cpu_seconds, usage.ru_utime + usage.ru_stime)
        grown_mb = usage.ru_maxrss / _RUSAGE_UNIT - self._floor_mb
        if grown_mb > self.peak_mb:
            self._peak_mb = grown_mb
            self._source = "rusage"

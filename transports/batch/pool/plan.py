"""What the pool does next, as a value, and the limits that it keeps to."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits


@dataclass(frozen=True)
class Limits:
    """Limits of a pool."""

    rules: PoolLimits
    headroom_mb: int
    """Memory of each job that is reserved for its worker."""
    starts_at_once: int = 1000
    """
    After so many starts a plan ends, and the next one goes on where it ended.

    Between the two, the pool hears what has happened in the meantime: thousands of starts take it longer than a tick.
    """


@dataclass(frozen=True)
class Plan:
    """What the pool does next."""

    starts: tuple[tuple[Path, str], ...] = ()
    """Executions that start, each with the name of its job."""
    waiting: Mapping[Path, Execution] = dataclasses.field(default_factory=dict)
    """Executions that continue to wait and were skipped, with changed counters."""
    drain: tuple[str, ...] = ()
    """Names of jobs that are released: they can take nothing more, or are queued and not needed."""
    too_late: tuple[str, ...] = ()
    """Names of those released jobs that were given nothing because they had taken too long to start."""
    needed: tuple[str, ...] = ()
    """Names of queued jobs for which an execution waits."""
    submit: JobSize | None = None
    """Size of the job to submit; None for no job."""
    go_on_with: str = ""
    """
    Name of the job that the next plan is to begin with, because this one has ended before it; empty if it is complete.

    Until then nothing is known of what the remaining jobs can take: no job is submitted, or withdrawn from the queue.
    """

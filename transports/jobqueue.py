"""dask-jobqueue, imported so that signals keep their meaning: by itself it makes Ctrl-C a successful end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Have nobody set signal handlers; outside of the main thread, trying to would fail the import."""
    set_handler = signal.signal
    signal.signal = lambda number, _: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler


with _signals_left_alone():
    from dask_jobqueue.core import Job, JobQueueCluster
    from dask_jobqueue.pbs import PBSCluster, PBSJob
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

__all__ = ["Job", "JobQueueCluster", "PBSCluster", "PBSJob", "SLURMCluster", "SLURMJob"]

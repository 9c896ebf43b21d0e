"""dask-jobqueue, imported so that signals keep their meaning: by itself it makes Ctrl-C a successful end."""

import importlib.util
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dask
import yaml


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Have nobody set signal handlers; outside of the main thread, trying to would fail the import."""
    set_handler = signal.signal
    signal.signal = lambda number, _: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler


@contextmanager
def only_packaged_settings() -> Iterator[None]:
    """Have dask-jobqueue ignore the user's settings of Dask: an account or queue there would be in every job."""
    with dask.config.set(jobqueue=_PACKAGED):
        yield


with _signals_left_alone():
    from dask_jobqueue.core import Job, JobQueueCluster
    from dask_jobqueue.pbs import PBSCluster, PBSJob
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob


def _packaged_settings() -> Any:
    found = importlib.util.find_spec("dask_jobqueue")
    assert found is not None  # noqa: S101 - it has been imported
    assert found.origin is not None  # noqa: S101 - the same
    return yaml.safe_load(Path(found.origin).with_name("jobqueue.yaml").read_text(encoding="utf-8"))["jobqueue"]


_PACKAGED: Final = _packaged_settings()

__all__ = ["Job", "JobQueueCluster", "PBSCluster", "PBSJob", "SLURMCluster", "SLURMJob", "only_packaged_settings"]

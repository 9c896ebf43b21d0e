"""Import dask-jobqueue without its signal handlers, which would turn Ctrl-C into a successful exit."""

import importlib
import importlib.util
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import dask
import yaml

from climate_ref_prefect.transports.batch.schedulers.scheduler_port import DaskJobQueue

_PATCHING: Final = threading.Lock()


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Keep this thread from setting signal handlers. Outside of the main thread that would fail the import."""
    with _PATCHING:
        set_handler, importing = signal.signal, threading.get_ident()

        def unless_importing(number: int, handler: Any) -> Any:
            if threading.get_ident() == importing:
                return signal.getsignal(number)
            return set_handler(number, handler)

        signal.signal = unless_importing  # type: ignore[assignment]
        try:
            yield
        finally:
            signal.signal = set_handler


@contextmanager
def only_packaged_settings() -> Iterator[None]:
    """Have dask-jobqueue ignore the user's Dask configuration, whose account or queue would be in every job."""
    with dask.config.set(jobqueue=_PACKAGED):
        yield


with _signals_left_alone():
    from dask_jobqueue.core import Job, JobQueueCluster


@cache
def load_classes(names: DaskJobQueue) -> tuple[type[JobQueueCluster], type[Job]]:
    """Import the cluster and job classes of a scheduler, from dask-jobqueue or from another package."""
    with _signals_left_alone():
        module = importlib.import_module(names.module)
    return getattr(module, names.cluster), getattr(module, names.job)


def _packaged_settings() -> Any:
    found = importlib.util.find_spec("dask_jobqueue")
    assert found is not None  # noqa: S101 - it has been imported
    assert found.origin is not None  # noqa: S101 - the same
    return yaml.safe_load(Path(found.origin).with_name("jobqueue.yaml").read_text(encoding="utf-8"))["jobqueue"]


_PACKAGED: Final = _packaged_settings()

__all__ = ["Job", "JobQueueCluster", "load_classes", "only_packaged_settings"]

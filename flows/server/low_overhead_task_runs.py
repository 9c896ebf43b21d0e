"""Reduce the overhead of thousands of task runs: few log lines, no result storage, and events in batches."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext
from prefect.filesystems import NullFileSystem

from climate_ref_prefect.flows.display.log_escaping import console_handlers
from climate_ref_prefect.flows.server.event_batches import batched_events
from climate_ref_prefect.transports.failure_log import ONLY_ON_SERVER


@contextmanager
def low_overhead_task_runs() -> Iterator[None]:
    """Run the task runs of the current flow run with low overhead, until the context ends."""
    with _without_log_lines(), _without_result_storage(), batched_events():
        yield


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """
    Do not send six log lines per execution ("Finished in state Completed()") to Prefect's server, which lags.

    A run that has failed is logged in one line instead of three; what explains it in full goes to the server only.
    """
    logger, consoles = logging.getLogger("prefect.task_runs"), console_handlers()
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_said_once)
    for console in consoles:
        console.addFilter(_is_for_console)
    try:
        yield
    finally:
        for console in consoles:
            console.removeFilter(_is_for_console)
        logger.removeFilter(_is_said_once)
        logger.setLevel(level)


def _is_said_once(record: logging.LogRecord) -> bool:
    """Leave out what Prefect says of a task that returns a failed state, since "Finished in state" repeats it."""
    return not record.getMessage().startswith("Task run failed with state: ")


def _is_for_console(record: logging.LogRecord) -> bool:
    return not hasattr(record, ONLY_ON_SERVER)


@contextmanager
def _without_result_storage() -> Iterator[None]:
    """Keep Prefect from resolving a storage path for results that these tasks do not have."""
    context = FlowRunContext.get()
    if context is None:
        yield
        return
    storage = context.result_store.result_storage
    context.result_store.result_storage = NullFileSystem()  # type: ignore[assignment]
    try:
        yield
    finally:
        context.result_store.result_storage = storage

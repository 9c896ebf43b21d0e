"""Cancel the queued jobs of a coordinator that has ended: they would start, find no coordinator, and end."""

import logging
from collections.abc import Collection

from climate_ref_prefect.transports.batch.schedulers.job_marks import is_owned_by
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    BatchScheduler,
    SchedulerJobState,
    SchedulerSilentError,
)

logger = logging.getLogger(__name__)


def withdraw_waiting_jobs(scheduler: BatchScheduler, owner: str, own_marks: Collection[str]) -> list[str]:
    """
    Cancel the jobs that an earlier coordinator of a store has submitted and that have not started.

    Jobs that have started are not cancelled: their executions go on, and are settled when they have ended.

    Parameters
    ----------
    scheduler
        The site's commands.
    owner
        Identity of the store. The caller holds its lease, so that no other coordinator of it is alive.
    own_marks
        Marks of jobs that this coordinator has submitted itself.

    Returns
    -------
    The ids of the jobs that the scheduler was asked to cancel; empty if it does not answer.
    """
    try:
        jobs = scheduler.marked_jobs()
        theirs = [job_id for job_id, mark in jobs.items() if is_owned_by(mark, owner) and mark not in own_marks]
        records = scheduler.look(theirs) if theirs else {}
        waiting = [job_id for job_id, record in records.items() if record.state is SchedulerJobState.PENDING]
        if waiting:
            scheduler.cancel(waiting)
    except SchedulerSilentError as error:
        logger.info("%s did not say which jobs an earlier solve may have left: %s", scheduler.name, error)
        return []
    if waiting:
        logger.warning(
            "%s jobs %s of an earlier solve were cancelled before they started, because their coordinator has ended.",
            *(scheduler.name, ", ".join(waiting)),
        )
    return waiting

"""The jobs of a pool: submitted, welcomed, watched, sent away. Used by the pool's thread alone."""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.outcome import FailureKind
from climate_ref_prefect.transports.batch.errands import Errands
from climate_ref_prefect.transports.batch.jobs import Crew, Job, Stage, count_by_size
from climate_ref_prefect.transports.batch.offers import Offers
from climate_ref_prefect.transports.batch.pilots import Pilots
from climate_ref_prefect.transports.batch.rules import PoolRules
from climate_ref_prefect.transports.batch.scheduler import JobRecord, JobRefusedError, JobState
from climate_ref_prefect.transports.batch.sizing import JobSize
from climate_ref_prefect.transports.port import Death

logger = logging.getLogger(__name__)
_SOON_SECONDS: Final = 0.5
"""How often the scheduler is asked while the end of a job is waited for."""
_LEAVING_SECONDS: Final = 30.0
"""How long a job may take to end that was told to."""
_STARTS_THAT_MAY_FAIL: Final = 3
_UNKNOWN_IS_OVER: Final = 2
"""A job of which nothing is known so many times in a row is over: a scheduler may be slow to show a new one."""
WriteScript = Callable[[str, JobSize], Path]


class Fleet:
    """
    All jobs of one pool.

    Parameters
    ----------
    rules
        Limits.
    name
        Of the scheduler, for messages.
    errands
        Takes commands to it.
    pilots
        The workers in the jobs.
    write_script
        Makes the job script for a worker of this name and size.
    crew
        Told what comes of jobs.
    """

    def __init__(
        self,
        rules: PoolRules,
        name: str,
        errands: Errands,
        pilots: Pilots,
        *,
        write_script: WriteScript,
        crew: Crew,
    ) -> None:
        self._rules = rules
        self._scheduler = name
        self._errands = errands
        self._write_script = write_script
        self._crew = crew
        self._pilots = pilots
        self._jobs: dict[str, Job] = {}
        self._failed_starts: dict[JobSize, int] = {}
        self._offers: dict[JobSize, Offers] = defaultdict(lambda: Offers(rules.scheduler_patience))
        self._look_from = 0.0
        self._looking = False

    @property
    def jobs(self) -> list[Job]:
        """All jobs that are not over."""
        return list(self._jobs.values())

    def ready(self) -> list[Job]:
        """Return the jobs whose worker is connected, and whose number is known: without it none can be followed."""
        return [job for job in self._jobs.values() if job.stage is Stage.READY and job.job_id and not job.cancelled]

    def is_wanted_elsewhere(self, job: Job, share: Mapping[JobSize, int]) -> bool:
        """Whether another size has less than its share while this one has more, even without those still to start."""
        if len(self._jobs) < self._rules.max_jobs:
            return False
        counts = self._counts()
        hungry = any(counts.get(size, 0) < number for size, number in share.items())
        to_start = sum(other.size == job.size and other.is_to_start for other in self._jobs.values())
        spared_first = to_start if job.stage is Stage.READY else 0
        return hungry and counts.get(job.size, 0) - spared_first > share.get(job.size, 0)

    def start_jobs(self, share: Mapping[JobSize, int]) -> None:
        """Submit a job of the size that is furthest below its share, once the one before has been answered."""
        submitting = any(not job.job_id for job in self._jobs.values())
        if submitting or len(self._jobs) >= self._rules.max_jobs:
            return
        counts = self._counts()
        due = {size: number for size, number in share.items() if number and self._offers[size].due}
        size = min(due, key=lambda size: counts.get(size, 0) / due[size], default=None)
        if size is not None and counts.get(size, 0) < due[size]:
            self._submit(size)

    def let_go(self, share: Mapping[JobSize, int]) -> None:
        """
        Send away what nobody has needed for a while, or what takes the place of a size that has less.

        The last in the queue goes first: what has started would wait again for all that it has waited for.
        """
        now = time.monotonic()
        counts = self._counts()
        for job in sorted(self.jobs, key=lambda job: (job.is_to_start, job.submitted), reverse=True):
            if job.running or job.cancelled or job.stage in (Stage.LEAVING, Stage.LOST):
                continue
            if share.get(job.size, 0) >= counts[job.size]:
                if job.stage is not Stage.READY:
                    job.idle_since = now
            elif now - job.idle_since >= self._rules.idle_seconds or self.is_wanted_elsewhere(job, share):
                counts[job.size] -= 1
                self.retire(job)

    def retire(self, job: Job) -> None:
        """End a job in which nothing runs."""
        if job.stage is Stage.READY:
            job.stage, job.idle_since = Stage.LEAVING, time.monotonic()
            self._pilots.retire(job.address)
            self._look_soon()
        else:
            self.cancel([job])

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Have the scheduler end jobs."""
        chosen = [job for job in jobs if not job.cancelled]
        for job in chosen:
            job.cancelled = True
            if job.stage is Stage.READY:
                job.stage = Stage.LOST
        job_ids = [job.job_id for job in chosen if job.job_id]
        if job_ids:
            self._errands.cancel(job_ids, lambda answer: self._hear_of_cancel(chosen, answer))
        self._look_soon()

    def welcome(self, name: str, address: str, age_seconds: float) -> None:
        """Take note of a worker that has connected."""
        job = self._jobs.get(name)
        if job is None or job.cancelled:
            self._pilots.retire(address)
            return
        now = time.monotonic()
        job.address, job.stage = address, Stage.READY
        job.ends_at = now - age_seconds + job.size.walltime_seconds
        job.idle_since = now
        self._look_soon()

    def note_use(self, job: Job) -> None:
        """Take note of a job that is of use: sizes are given up after some in a row that are not."""
        self._failed_starts.pop(job.size, None)

    def miss(self, name: str) -> None:
        """Take note of a worker whose connection is gone: what it runs may go on."""
        job = self._jobs.get(name)
        if job is not None:
            self.lose(job)

    def lose(self, job: Job) -> None:
        """Follow a job by its files and the scheduler's word alone from now on."""
        if job.stage is not Stage.LEAVING:
            job.stage = Stage.LOST
        self._look_soon()

    def look(self) -> None:
        """Ask the scheduler about the jobs, if it is time to."""
        now = time.monotonic()
        known = [job.job_id for job in self._jobs.values() if job.job_id]
        if not known or self._looking or now < self._look_from:
            return
        awaited = any(job.cancelled or job.stage in (Stage.LOST, Stage.LEAVING) for job in self._jobs.values())
        self._look_from = now + (min(_SOON_SECONDS, self._rules.poll_seconds) if awaited else self._rules.poll_seconds)
        self._looking = True
        self._errands.look(known, self._hear_of_jobs)

    def count_failed_start(self, job: Job, why: str) -> None:
        """Take note of a job that was of no use; after some in a row none of its size is tried any more."""
        failed = self._failed_starts[job.size] = self._failed_starts.get(job.size, 0) + 1
        logger.warning("%s job %s was of no use: %s", self._scheduler, job.job_id, why)
        if failed >= _STARTS_THAT_MAY_FAIL:
            message = (
                f"{failed} {self._scheduler} jobs of {job.size.label} in a row were of no use, "
                f"the last, {job.job_id}: {why}"
            )
            kind = job.record.kind if job.record else None
            passing = kind is None or kind is FailureKind.WORKER_LOST
            self._crew.bar(job.size, Death(kind=FailureKind.UNAVAILABLE if passing else kind, message=message))

    def _counts(self) -> dict[JobSize, int]:
        return count_by_size(job for job in self._jobs.values() if job.stage is not Stage.LEAVING and not job.cancelled)

    def _look_soon(self) -> None:
        self._look_from = 0.0

    def _submit(self, size: JobSize) -> None:
        # Unique, so that a job of a coordinator that had the same address before is not taken for one of this pool's.
        name = f"{size.label}-{uuid.uuid4().hex}"
        job = self._jobs[name] = Job(name=name, size=size, idle_since=time.monotonic())
        self._errands.submit(self._write_script(name, size), lambda answer: self._hear_of_submission(job, answer))

    def _hear_of_submission(self, job: Job, answer: str | Exception) -> None:
        if isinstance(answer, str):
            job.job_id = answer
            if job.stage is Stage.SUBMITTING:
                job.stage = Stage.QUEUED
            if job.cancelled:
                job.cancelled = False
                self.cancel([job])
            self._offers.pop(job.size, None)
            return
        del self._jobs[job.name]
        if job.address:  # it was taken all the same
            self._pilots.retire(job.address)
        if isinstance(answer, JobRefusedError):
            message = f"{self._scheduler} refused a job of {job.size.label}: {answer}"
            self._crew.bar(job.size, Death(kind=FailureKind.SUBMISSION_REFUSED, message=message))
        else:
            self._offer_later(job, answer)

    def _offer_later(self, job: Job, error: Exception) -> None:
        offers = self._offers[job.size]
        if not offers.failing:
            logger.warning("%s takes no job now: %s It is tried again.", self._scheduler, error)
        offers.fail(error, has_jobs=bool(self._jobs))
        if offers.hopeless:
            del self._offers[job.size]
            message = f"{self._scheduler} takes no job: {error}"
            self._crew.bar(job.size, Death(kind=FailureKind.UNAVAILABLE, message=message))

    def _hear_of_cancel(self, jobs: list[Job], answer: object) -> None:
        if isinstance(answer, Exception):
            logger.warning("%s could not be told to end jobs, and will be told again: %s", self._scheduler, answer)
            for job in jobs:
                job.cancelled = False

    def _hear_of_jobs(self, answer: dict[str, JobRecord] | Exception) -> None:
        self._looking = False
        if isinstance(answer, Exception):
            logger.warning("%s does not tell about its jobs: %s It is asked again.", self._scheduler, answer)
            self._look_from = time.monotonic() + self._rules.poll_seconds
            return
        for job in self.jobs:
            if job.job_id in answer:
                self._take_note(job, answer[job.job_id])

    def _take_note(self, job: Job, record: JobRecord) -> None:
        job.unknown = job.unknown + 1 if record.state is JobState.UNKNOWN else 0
        if record.state is JobState.UNKNOWN and job.unknown < _UNKNOWN_IS_OVER:
            self._look_soon()
            return
        if record.state is JobState.UNKNOWN and job.record is not None:  # what was known of it is still true
            words = {"state": record.state, "words": record.words, "confirmed": record.confirmed}
            record = job.record.model_copy(update=words)
        job.record = record
        if record.over and (record.confirmed or self._crew.is_quiet(job)):
            del self._jobs[job.name]
            self._bury(job)
        elif record.over:
            self.lose(job)
            self._crew.look_after(job)
        elif job.stage is Stage.LEAVING:
            if time.monotonic() - job.idle_since > _LEAVING_SECONDS:
                self.cancel([job])
        elif job.stage is Stage.LOST:
            self._crew.look_after(job)
            if not job.running or record.state is JobState.PENDING:  # a site may requeue what asked it not to
                self.cancel([job])
        elif record.state is JobState.PENDING:
            self._consider_pending(job, record)

    def _bury(self, job: Job) -> None:
        never_came = job.is_to_start
        job.stage = Stage.OVER
        self._crew.look_after(job)
        if never_came:
            words = job.record.words if job.record else ""
            number = job.job_id.partition(";")[0]
            log = f"Its output is in the transport's directory `logs`, in the file with {number} in its name."
            self.count_failed_start(job, f"it ended before its worker had connected: {words}. {log}")

    def _consider_pending(self, job: Job, record: JobRecord) -> None:
        if record.never:
            self.cancel([job])
            message = f"{self._scheduler} will never start job {job.job_id} of {job.size.label}: {record.words}"
            self._crew.bar(job.size, Death(kind=FailureKind.SUBMISSION_REFUSED, message=message))
        waited = time.monotonic() - job.submitted
        if waited > self._rules.pending_report.total_seconds() and not job.reported:
            job.reported = True
            logger.warning(
                "%s job %s (%s) has waited for %.0f min: %s",
                *(self._scheduler, job.job_id, job.size.label, waited / 60, record.words),
            )

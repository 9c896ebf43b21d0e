"""A transport to a batch scheduler: a pool of jobs that opens when it is needed."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.transports.batch.abandoned_jobs import withdraw_waiting_jobs
from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.pool.execution_file_monitor import is_silent
from climate_ref_prefect.transports.doctor_finding import Finding
from climate_ref_prefect.transports.port import Ended, Submission, Termination, Traits

if TYPE_CHECKING:
    from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
    from climate_ref_prefect.transports.batch.pool.pool_thread import PoolThread

_OPENING: Final = threading.Lock()
_CHOICE: Final = 200
"""Waiting executions from which the pool can choose. Each of them has a row and a directory already."""


class BatchTransport(BatchSite):
    """
    Runs executions in jobs of a batch scheduler, each job sized from the hints of what it runs.

    A subclass for a scheduler names its `kind`, `dask_jobqueue` and `job_variables`, and implements `check_path`,
    `commands` and `sized`. Its module must not import Dask, because listing the kinds imports all of them.
    """

    traits: ClassVar[Traits] = Traits(renders_jobs=True, reports_starts=True)

    _withdrawing: threading.Thread | None = PrivateAttr(default=None)
    _pool: "PoolThread | None" = PrivateAttr(default=None)
    _keys: "CommsKeys | None" = PrivateAttr(default=None)
    _ended: set[str] = PrivateAttr(default_factory=set)
    """Jobs that existed when this transport was closed, and that have ended since."""

    @property
    def slots(self) -> int:
        """Enough executions to keep all jobs busy, and some more to choose from."""
        at_once = self.rules.max_jobs * self.sizing.most_per_job
        return at_once + min(at_once, _CHOICE)

    def open(self, owner: str) -> None:
        """Have queued jobs of an earlier coordinator of this store cancelled; returns at once."""
        self._owner = owner
        self._withdrawing = threading.Thread(
            target=withdraw_waiting_jobs,
            args=(self.commands(patient=False), owner, self._marks),
            name="withdraw-abandoned-jobs",
            daemon=True,
        )
        self._withdrawing.start()

    def check(self, resources: ResourceHint) -> ResourceHint:
        """Return the resources; raises `ResourcesRefusedError` if no queue of the site fits."""
        self.sizing.size(resources)
        return resources

    def render(self, resources: ResourceHint) -> str:
        """Return the job script for an execution, without submitting anything; raises as `check` does."""
        from climate_ref_prefect.transports.batch.dask.open_transport import render_script  # noqa: PLC0415 - imports Dask

        return render_script(self, self.sizing.size(resources))

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """Check the site from this host and from within a job."""
        from climate_ref_prefect.transports.batch.doctor.check_batch_site import check_site  # noqa: PLC0415 - imports Dask

        yield from check_site(self, providers, scratch, wait_seconds)

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution for a job of its size."""
        submission = self.submission_of(directory)
        self._open().submit(submission, self.sizing.size(resources), resources)
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return the executions that have ended, and wait up to `timeout_seconds` for the first."""
        return self._open().wait(timeout_seconds)

    def new_starts(self) -> list[Path]:
        """Return the directories of executions that workers have been given since the last call."""
        pool = self._pool
        return pool.new_starts() if pool is not None else []

    def cancel(self, submission: Submission) -> None:
        """Stop an execution, or keep it from starting. Its job goes on with other executions."""
        pool = self._pool
        if pool is not None:
            pool.cancel(submission.directory)

    def explain(self, submission: Submission) -> Termination | None:
        """Return the scheduler's words on the end of an execution's job."""
        pool = self._pool
        return pool.explain(submission.directory) if pool is not None else None

    def is_over(self, directory: Path) -> bool | None:
        """Ask the scheduler about the job of an execution, unless the job was seen to end when this was closed."""
        execution = ExecutionDirectory(directory)
        claim = execution.read_claim()
        if claim is None or not claim.job_id:
            return None
        if claim.job_id in self._ended:
            return True
        record = self.commands(patient=False).look([claim.job_id]).get(claim.job_id)
        if record is None:
            return False
        return record.over and (record.confirmed or is_silent(execution, self.outcome_patience_seconds))

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Cancel all jobs, wait for their end, and remove the keys."""
        from climate_ref_prefect.transports.batch.dask.tls_keys import remove_abandoned  # noqa: PLC0415 - imports Dask

        with _OPENING:
            pool, self._pool = self._pool, None
            keys, self._keys = self._keys, None
        try:
            if pool is not None:
                # A claim contains only the number of its job, without the cluster that SLURM may name with it.
                self._ended.update(job_id.partition(";")[0] for job_id in pool.close(timeout_seconds))
        finally:
            if keys is not None:
                keys.close()
            if self._withdrawing is not None:
                self._withdrawing.join(timeout_seconds)
            remove_abandoned(self.shared)  # also if nothing was run and no keys were made

    def _open(self) -> "PoolThread":
        from climate_ref_prefect.transports.batch.dask.open_transport import make_keys, open_pool  # noqa: PLC0415 - Dask

        with _OPENING:
            if self._pool is None:
                keys = make_keys(self)
                try:
                    self._pool = open_pool(self, keys)
                except BaseException:
                    if keys is not None:
                        keys.close()
                    raise
                self._keys = keys
            return self._pool

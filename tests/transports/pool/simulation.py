"""A cluster in virtual time: it performs the actions of a pool, and faults occur in it as often as a test requests."""

import dataclasses
import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelAnswered,
    Connected,
    Disconnected,
    Found,
    NotFound,
    Polled,
    Quiet,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.pool import Pool
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CancelJob,
    CloseWorker,
    PoolAction,
    ReportEnd,
    StartExecution,
    StopExecution,
    SubmitJob,
)
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SubmissionInDoubtError,
    SubmissionLimitError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.transports.pool.making import CANCELLED, FAILED, HEADROOM_MB, NODE_FAIL, PENDING, RUNNING, UNKNOWN, outcome

SUBMIT_SECONDS, START_SECONDS, END_SECONDS, QUIET_SECONDS = 0.2, 2.0, 0.5, 5.0


@dataclass
class SimulatedJob:
    """A job as the cluster knows it."""

    name: str
    job_id: str
    size: JobSize
    state: JobRecord = PENDING
    runs: int = 0
    """How many times it has started."""
    address: str = ""
    alive: dict[Path, int] = field(default_factory=dict)
    """Executions that run in it, each with the number of the run in which it was begun."""
    ended_at: float = 0.0
    told_to_end: list[float] = field(default_factory=list)
    ever_connected: bool = False
    restart_is_known: bool = False
    """Whether the pool has heard that it was requeued the last time."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in (PENDING, RUNNING)

    @property
    def running(self) -> set[Path]:
        """The executions of its last run."""
        return {directory for directory, run in self.alive.items() if run == self.runs}


class Cluster:
    """
    Nodes with processors, a queue, and the pool that uses them.

    Parameters
    ----------
    cpus
        Processors in all.
    rules
        Limits of the pool.
    seconds_of
        How long an execution takes.
    faults
        How likely each fault is whenever there is an occasion for it, by name; see `_fault`.
    seed
        Of what is left to chance.
    """

    def __init__(
        self,
        cpus: int,
        rules: PoolLimits,
        seconds_of: Callable[[Execution], float],
        faults: dict[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self._cpus = cpus
        self._poll_seconds = rules.poll_seconds
        self._seconds_of = seconds_of
        self._faults = faults or {}
        self._chance = random.Random(seed)
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.jobs: dict[str, SimulatedJob] = {}
        self.executions: dict[Path, Execution] = {}
        self._beyond_reach: set[Path] = set()
        """Executions that go on, on nodes that are cut off, after their job has ended or was requeued."""
        self.reports: list[ReportEnd] = []
        limits = Limits(rules, HEADROOM_MB, starts_at_once=(1, 3, 1000)[seed % 3])
        self.state = Pool("SLURM", limits, lambda size: f"job-{next(self._numbers)}")
        self.polls = 0

    def run(self, executions: Sequence[Execution], at_once: int, limit_seconds: float = 1e5) -> None:
        """Run executions to their end, no more than some at once known to the pool."""
        left = list(executions)
        self._later(0, self._poll)
        while len(self.reports) < len(executions):
            while left and len(self.executions) - len(self.reports) < at_once:
                self._take(left.pop(0))
            self._next(limit_seconds)

    def settle(self, limit_seconds: float) -> None:
        """Let time pass, with nothing more to run."""
        end = self.now + limit_seconds
        while self._agenda and self._agenda[0][0] <= end:
            self._next(end + 1)

    def cancel(self, directory: Path) -> None:
        """Have an execution stopped."""
        self._do(self.state.cancel(directory, self.now))

    def _next(self, limit_seconds: float) -> None:
        assert self._agenda, "nothing will ever happen"
        self.now, _, happens = heapq.heappop(self._agenda)
        assert self.now < limit_seconds, self.state.jobs
        happens()
        self._do(self.state.arrange(self.now))
        while self.state.has_more_to_start:
            self._do(self.state.arrange(self.now))
        self._start_pending()

    def _take(self, one: Execution) -> None:
        one = dataclasses.replace(one, submitted_at=self.now)
        self.executions[one.directory] = one
        self._do(self.state.take(one))

    def _later(self, seconds: float, happens: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), happens))

    def _hear(self, name: str, event: object) -> None:
        self._do(self.state.on(name, event, self.now))  # type: ignore[arg-type]  # one of the events

    def _do(self, actions: Iterable[PoolAction]) -> None:
        for action in actions:
            match action:
                case SubmitJob(name, size):
                    self._later(SUBMIT_SECONDS, lambda name=name, size=size: self._submit(name, size))  # type: ignore[misc]
                case CancelJob(name, job_id):
                    self._cancel(self.jobs[name], job_id)
                case CloseWorker(address):
                    self._close(address)
                case StartExecution(address, directory):
                    self._begin(address, directory)
                case StopExecution(_, directory):
                    self._later(1, lambda directory=directory: self._end_execution(directory))  # type: ignore[misc]
                case ReportEnd(submission, outcome=known):
                    lives = submission.directory in self._beyond_reach
                    assert known is not None or not lives, "it is told to have ended while it goes on"
                    self.reports.append(action)

    def _strikes(self, fault: str) -> bool:
        return self._chance.random() < self._faults.get(fault, 0.0)

    def _submit(self, name: str, size: JobSize) -> None:
        if self._strikes("limit"):
            self._do(self.state.not_submitted(name, SubmissionLimitError("MaxSubmitJobs"), self.now))
            return
        lost = self._strikes("answer lost")
        if not (lost and self._strikes("never taken")):
            self.jobs[name] = SimulatedJob(name, str(len(self.jobs) + 1), size)
            if self._strikes("withdrawn by hand"):
                self._later(1, lambda: self._end(self.jobs[name], CANCELLED))
        if lost:
            self._do(self.state.not_submitted(name, SubmissionInDoubtError("timed out"), self.now))
        else:
            self._hear(name, Submitted(self.jobs[name].job_id))

    def _start_pending(self) -> None:
        free = self._cpus - sum(job.size.cpu for job in self.jobs.values() if job.state is RUNNING)
        for job in self.jobs.values():
            if job.state is PENDING and job.size.cpu <= free:
                free -= job.size.cpu
                job.state, job.runs = RUNNING, job.runs + 1
                self._later(START_SECONDS, lambda job=job, run=job.runs: self._connect(job, run))  # type: ignore[misc]
                self._later(job.size.walltime_seconds, lambda job=job, run=job.runs: self._time_out(job, run))  # type: ignore[misc]

    def _connect(self, job: SimulatedJob, run: int) -> None:
        if job.state is not RUNNING or run != job.runs:
            return
        if self._strikes("node fails at the start"):
            self._end(job, NODE_FAIL)
            return
        job.address, job.ever_connected = f"tls://{job.name}:{run}", True
        job.restart_is_known = run > 1
        self._hear(job.name, Connected(job.address, START_SECONDS))
        faults = (
            ("node fails", self._fail),
            ("node is lost to the scheduler", self._lose),
            ("requeue", self._requeue),
            ("requeue elsewhere", self._requeue_elsewhere),
            ("cut off", self._cut_off),
        )
        for fault, happens in faults:
            if self._strikes(fault):
                self._later(self._chance.uniform(0, 20), lambda job=job, happens=happens: happens(job))  # type: ignore[misc]

    def _time_out(self, job: SimulatedJob, run: int) -> None:
        if job.state is RUNNING and run == job.runs:
            self._end(job, FAILED)

    def _fail(self, job: SimulatedJob) -> None:
        if not job.over:
            self._end(job, NODE_FAIL)

    def _lose(self, job: SimulatedJob) -> None:
        """Have a node fail as the scheduler sees it: its worker stays connected, and what runs there goes on."""
        if job.state is RUNNING:
            self._beyond_reach |= job.running
            job.state, job.ended_at = NODE_FAIL, self.now

    def _requeue_elsewhere(self, job: SimulatedJob) -> None:
        """Have a job run again while what it ran goes on, on a node that is cut off."""
        if job.state is RUNNING:
            self._beyond_reach |= job.running
        self._requeue(job)

    def _cut_off(self, job: SimulatedJob) -> None:
        self._hear(job.name, Disconnected(job.address))

    def _requeue(self, job: SimulatedJob) -> None:
        if job.state is RUNNING:
            job.state, address, job.address, job.restart_is_known = PENDING, job.address, "", False
            self._hear(job.name, Disconnected(address))

    def _begin(self, address: str, directory: Path) -> None:
        job = next(job for job in self.jobs.values() if job.address == address)
        before = [run for run in job.alive.values() if run != job.runs]
        assert not before, f"{job.name} is given something while what it ran before has not ended"
        job.alive[directory] = job.runs
        seconds, run = self._seconds_of(self.executions[directory]), job.runs
        self._later(seconds, lambda: self._end_execution(directory, job, run))

    def _end_execution(self, directory: Path, job: SimulatedJob | None = None, run: int = 0) -> None:
        job = job or next((one for one in self.jobs.values() if directory in one.alive), None)
        if job is None or directory not in job.alive or (run and run != job.alive[directory]):
            return
        if directory not in self._beyond_reach and (job.over or job.runs != job.alive[directory]):
            return  # it went with its job
        del job.alive[directory]
        self._beyond_reach.discard(directory)
        if any(directory in known.executions for known in self.state.jobs):
            self._do(self.state.ended(directory, outcome(), self.now))

    def _close(self, address: str) -> None:
        job = next((job for job in self.jobs.values() if job.address == address), None)
        if job is not None and not job.over:
            self._later(END_SECONDS, lambda: self._leave(job, address))

    def _leave(self, job: SimulatedJob, address: str) -> None:
        if job.address == address and not job.over:
            self._hear(job.name, Disconnected(address))
            self._end(job, FAILED)

    def _cancel(self, job: SimulatedJob, job_id: str) -> None:
        assert job.job_id == job_id
        job.told_to_end.append(self.now)
        if self._strikes("scancel fails"):
            self._hear(job.name, CancelAnswered("timed out"))
            return
        self._hear(job.name, CancelAnswered())
        self._later(END_SECONDS, lambda: None if job.over else self._end(job, CANCELLED))

    def _end(self, job: SimulatedJob, record: JobRecord) -> None:
        if not job.over:
            if record is CANCELLED and not job.restart_is_known:  # nobody could know what goes on elsewhere
                self._beyond_reach -= set(job.alive)
            job.state, job.ended_at, address, job.address = record, self.now, job.address, ""
            if address:
                self._hear(job.name, Disconnected(address))

    def _has_none_that_lives(self, job: SimulatedJob) -> bool:
        return all(run != job.runs or job.over for run in job.alive.values())

    def _poll(self) -> None:
        self.polls += 1
        self._later(self._poll_seconds, self._poll)
        if self._strikes("squeue fails"):
            return
        for name in self.state.jobs_to_find():
            found = self.jobs.get(name)
            self._hear(name, Found(found.job_id) if found and not found.over else NotFound())
        followed = {known.name for known in self.state.jobs}
        assert all(job.name in followed for job in self.jobs.values() if job.state is PENDING), "nobody follows a job"
        for known in self.state.jobs:
            if known.job_id:
                job = self.jobs[known.name]
                job.restart_is_known |= job.state is PENDING and job.runs > 0
                forgotten = job.over and self.now - job.ended_at > 30
                record = UNKNOWN if forgotten else job.state
                self._hear(job.name, Polled(record.model_copy(update={"job_id": job.job_id}), self.now))
        for known in self.state.jobs:
            if known.executions and known.state in (JobState.VANISHED, JobState.RESTARTED):
                job = self.jobs[known.name]
                if not self._beyond_reach & set(known.executions) and self._has_none_that_lives(job):
                    job.alive.clear()
                    self._hear(known.name, Quiet())

"""The state of the emulated site: its jobs, their processes, and the faults that a test injects."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.pbs import errors
from tests.pbs.errors import PbsError
from tests.pbs.execution import Execution
from tests.pbs.jobs import Job, Substate
from tests.pbs.processes import all_processes, reap
from tests.pbs.scheduling import WAITS, free_nodes, place, why_never, why_not_now
from tests.pbs.settings import QueueSettings, Settings

_ENDINGS = {-29: "exceeded resource walltime", -27: "exceeded resource mem"}


class Site:
    """All jobs, by number. Every method is called with the lock held, by `locked`."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        self.jobs: dict[int, Job] = {}
        self.starts_nothing = False
        """Whether jobs that wait go on waiting."""
        self.refuse_every = 0
        """Every so-manieth submission is refused; 0 for none."""
        self.delay_seconds = 0.0
        """How late a command is answered."""
        self._directory = directory
        self._executions: dict[int, Execution] = {}
        self._numbers = itertools.count(settings.first_job)
        self._submissions = itertools.count(1)
        self._lock = threading.RLock()
        self._closed = threading.Event()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock."""
        with self._lock:
            yield

    def watch(self) -> None:
        """Look after running jobs until the site is closed."""
        while not self._closed.wait(self.settings.check_seconds):
            with self._lock:
                self._look()

    def close(self) -> None:
        """End every job at once."""
        self._closed.set()
        with self._lock:
            for execution in self._executions.values():
                execution.kill()
            self._executions.clear()

    def queue(self, name: str | None) -> QueueSettings:
        """Return a queue, the default one where there is no name."""
        queues = {queue.name: queue for queue in self.settings.queues}
        if name is None:
            return self.settings.queues[0]
        if name not in queues:
            raise PbsError(errors.UNKNOWN_QUEUE)
        return queues[name]

    def check_room(self, queue: QueueSettings) -> None:
        """Refuse a submission that the queue, or an order to misbehave, has no room for."""
        count = next(self._submissions)
        if self.refuse_every and count % self.refuse_every == 0:
            raise PbsError(errors.SERVER_SHUTTING_DOWN)
        if not queue.enabled:
            raise PbsError(errors.QUEUE_DISABLED)
        waiting = sum(job.queue == queue.name and job.state != "F" for job in self.jobs.values())
        if queue.max_queued is not None and waiting >= queue.max_queued:
            words = f"would exceed queue {queue.name}'s per-user limit"
            raise PbsError(errors.OVER_JOB_LIMIT, words=words)

    def next_number(self) -> int:
        """Return the number of the next job."""
        return next(self._numbers)

    def add(self, job: Job) -> None:
        """Take a job, and start it if it fits."""
        self.jobs[job.number] = job
        self.schedule()

    def find(self, job_id: str) -> Job:
        """Return a job by its id, with or without the server's name."""
        number = job_id.partition(".")[0]
        job = self.jobs.get(int(number)) if number.isdigit() else None
        if job is None or (job.state == "F" and not self.settings.history):
            raise PbsError(errors.UNKNOWN_JOB)
        return job

    def schedule(self) -> None:
        """Start what fits, and say of the rest why it waits."""
        for job in self.jobs.values():
            if job.state == "Q" and not self._closed.is_set():
                job.comment = self._start_or_wait(job)

    def delete(self, job: Job, user: str) -> None:
        """Do what `qdel` asks for."""
        if job.number in self._executions:
            if not job.deleted:
                job.deleted = True
                job.comment = f"{job.comment} and terminated by {user}"
                self._executions[job.number].terminate()
        else:
            job.deleted = True
            job.comment = job.comment and f"{job.comment} and terminated"
            self._finish(job, Substate.TERMINATED)

    def hold(self, job: Job) -> None:
        """Hold a job that waits."""
        job.hold_types = "u"
        job.change("H", Substate.HELD)

    def release(self, job: Job) -> None:
        """Let a held job wait for its turn."""
        job.hold_types = "n"
        job.change("Q", Substate.QUEUED)
        self.schedule()

    def suspend(self, job: Job) -> None:
        """Do what `qsig -s suspend` does; what the job has stays its own, unlike in the real one."""
        self._executions[job.number].suspend()
        job.change("S", Substate.SUSPENDED)

    def resume(self, job: Job) -> None:
        """Do what `qsig -s resume` does."""
        self._executions[job.number].resume()
        job.change("R", Substate.RUNNING)

    def requeue(self, job: Job) -> None:
        """Do what `qrerun` does: end the run, and put the job back into its queue."""
        if not job.rerunnable:
            raise PbsError(errors.NOT_RERUNNABLE)
        self._executions.pop(job.number).kill()
        job.slots, job.started, job.session_id, job.reported, job.comment = (), None, None, False, None
        job.usage = type(job.usage)()
        job.change("Q", Substate.QUEUED)

    def fail_node(self, job: Job) -> None:
        """Lose the node below a job: it is queued again if it may be run again, and is over without a word if not."""
        if job.rerunnable:
            self.requeue(job)
            return
        self._executions.pop(job.number).kill()
        job.ended = time.time()
        self._finish(job, Substate.FAILED)

    def forget(self, job: Job) -> None:
        """Lose a finished job from the history."""
        del self.jobs[job.number]

    def _start_or_wait(self, job: Job) -> str | None:
        never = why_never(job, self.settings.nodes)
        if never:
            return never
        running = [other for other in self.jobs.values() if other.number in self._executions]
        waits = why_not_now(job, self.queue(job.queue), running)
        if waits or self.starts_nothing:
            return waits or WAITS
        busy = [slot for other in running for slot in other.slots]
        slots = place(job.request.chunks, free_nodes(self.settings.nodes, busy))
        if slots is None:
            return WAITS
        job.slots = slots
        self._start(job)
        return time.strftime(f"Job run at %a %b %d at %H:%M on {job.vnodes}")

    def _start(self, job: Job) -> None:
        job.started = time.time()
        job.run_count += 1
        job.change("R", Substate.STARTING)
        self._executions[job.number] = Execution(job, self.settings, self._directory)

    def _look(self) -> None:
        processes = all_processes() if self._executions else []
        ended = [number for number, execution in self._executions.items() if execution.look(processes)]
        for number in ended:
            self._over(self.jobs[number], self._executions.pop(number))
        reap({execution.pid for execution in self._executions.values()})
        for number in self._executions:
            self._report(self.jobs[number])
        if ended:
            self.schedule()

    def _report(self, job: Job) -> None:
        if job.state == "R" and not job.reported and job.usage.wall_seconds >= self.settings.report_seconds:
            job.reported = True
            job.change("R", Substate.RUNNING)

    def _over(self, job: Job, execution: Execution) -> None:
        execution.deliver()
        job.ended = time.time()
        job.reported = job.staged_out = True
        if job.deleted:
            self._finish(job, Substate.TERMINATED)
            return
        status = job.exit_status or 0
        ending = _ENDINGS.get(status, "failed" if status else "finished")
        job.comment = f"{job.comment} and {ending}"
        self._finish(job, Substate.FAILED if status else Substate.FINISHED)

    def _finish(self, job: Job, substate: Substate) -> None:
        job.finished = time.time()
        job.change("F", substate)

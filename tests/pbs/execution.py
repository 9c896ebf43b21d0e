"""One run of a job on its node: what OpenPBS's `pbs_mom` does."""

import os
import resource
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pbs.jobs import Job, Usage
from tests.pbs.processes import ProcessInfo, all_processes, environment_of, of_session, of_tree, send, total
from tests.pbs.settings import Settings

WALLTIME_EXCEEDED = -29
MEMORY_EXCEEDED = -27
_BASH = "/bin/bash"
_SIGNALLED = 256


@dataclass(frozen=True)
class Spool:
    """Where output lies while the job runs."""

    output: Path
    error: Path


class Execution:
    """A job that runs; the caller looks at it every now and then."""

    def __init__(self, job: Job, settings: Settings, directory: Path) -> None:
        self.job = job
        self._settings = settings
        self._directory = directory
        self._spool = _open_spool(job, directory)
        self._kill_at: float | None = None
        self._verdict: int | None = None
        self._suspended_at: float | None = None
        self._sessions: set[int] = set()
        job.cookie = uuid.uuid4().hex.upper()
        self._started = time.monotonic()
        self._process = self._start()
        job.session_id = self._process.pid

    @property
    def pid(self) -> int:
        """The job's first process, which leads its session."""
        return self._process.pid

    def look(self, processes: Sequence[ProcessInfo]) -> bool:
        """Measure, enforce limits, and return whether it has ended; then its exit status is set."""
        own = self._own(processes)
        wall = (self._suspended_at or time.monotonic()) - self._started
        self.job.usage = self.job.usage.merged(total(own)).merged(Usage(wall_seconds=wall))
        pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if pid:
            self._end(status, used)
            return True
        self._sessions.update(process.session for process in own)
        self._enforce(own, wall)
        return False

    def terminate(self) -> None:
        """Have it ended: SIGTERM now, SIGKILL after the delay."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._settings.kill_delay_seconds
            send(signal.SIGTERM, self._own(all_processes()))

    def suspend(self) -> None:
        """Stop the job's own session alone, as `pbs_mom` does (recorded): what has left it goes on."""
        self._suspended_at = time.monotonic()
        send(signal.SIGSTOP, of_session(self._process.pid, all_processes()))

    def resume(self) -> None:
        """Have it go on; its walltime did not run meanwhile."""
        if self._suspended_at is not None:
            self._started += time.monotonic() - self._suspended_at
            self._suspended_at = None
        send(signal.SIGCONT, of_session(self._process.pid, all_processes()))

    def kill(self) -> None:
        """End it at once, and forget its output."""
        send(signal.SIGKILL, self._own(all_processes()))
        self._process.wait()
        self._discard_spool()

    def deliver(self) -> None:
        """Bring output to where it was asked for; what cannot be brought is lost."""
        names = {"oe": "o", "eo": "e"}.get(self.job.join, "oe")
        if "o" in names:
            _deliver(self._spool.output, self.job.output_path, f"{self.job.job_id}.OU")
        if "e" in names:
            _deliver(self._spool.error, self.job.error_path, f"{self.job.job_id}.ER")
        self._discard_spool()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._spool.output.open("ab") as output, self._spool.error.open("ab") as error:
            return subprocess.Popen(
                self._command(),
                cwd=self.job.home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=error if self.job.join == "eo" else output,
                stderr=output if self.job.join == "oe" else error,
                start_new_session=True,
                umask=0o077,
            )

    def _command(self) -> list[str]:
        submission = self.job.submission
        if submission.command:
            return ["/usr/bin/env", *submission.command]
        script = self._directory / f"{self.job.job_id}.SC"
        script.write_text(submission.script)
        shell = submission.options.get("S", _BASH)
        return [shell, "-c", 'bash "$0"; exit $?', str(script)] if self._settings.login_shell else [shell, str(script)]

    def _environment(self) -> dict[str, str]:
        job = self.job
        nodes = self._directory / f"{job.job_id}.nodes"
        nodes.write_text("".join(f"{slot.node}\n" for slot in job.slots))
        return environment_of(
            {
                "PATH": "/bin:/usr/bin",
                **job.variables,
                "HOME": job.home,
                "LOGNAME": job.owner,
                "USER": job.owner,
                "SHELL": _BASH,
                "ENVIRONMENT": "BATCH",
                "PBS_JOBNAME": job.submission.name,
                "PBS_JOBID": job.job_id,
                "PBS_QUEUE": job.queue,
                "PBS_JOBCOOKIE": job.cookie,
                "PBS_NODENUM": "0",
                "PBS_TASKNUM": "1",
                "PBS_MOMPORT": "15003",
                "OMP_NUM_THREADS": str(job.request.chunks[0].ncpus),
                "NCPUS": str(job.request.chunks[0].ncpus),
                "PBS_NODEFILE": str(nodes),
                "PBS_JOBDIR": job.home,
                "PBS_ENVIRONMENT": "PBS_BATCH",
            }
        )

    def _enforce(self, own: Sequence[ProcessInfo], wall: float) -> None:
        if self._kill_at is not None:
            if time.monotonic() >= self._kill_at:
                send(signal.SIGKILL, own)
            return
        limit = self.job.request.walltime_seconds
        if limit is not None and wall > limit:
            self._stop(WALLTIME_EXCEEDED, f"walltime {int(wall)} exceeded limit {limit}")
            return
        used, allowed = total(own).memory_kb, self.job.request.memory_kb
        if self._settings.enforce_memory and allowed and used > allowed:
            self._stop(MEMORY_EXCEEDED, f"mem {used}kb exceeded limit {allowed}kb")

    def _stop(self, verdict: int, words: str) -> None:
        self._verdict = verdict
        with (self._spool.output if self.job.join == "oe" else self._spool.error).open("a") as stream:
            stream.write(f"=>> PBS: job killed: {words}\n")
        self.terminate()

    def _end(self, status: int, used: resource.struct_rusage) -> None:
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        send(signal.SIGKILL, self._own(all_processes()))
        # Its largest memory is left aside: a child's is never less than that of the server, which forked it.
        self.job.usage = self.job.usage.merged(Usage(used.ru_utime + used.ru_stime))
        own_status = _SIGNALLED - code if code < 0 else code
        self.job.exit_status = own_status if self._verdict is None else self._verdict

    def _own(self, processes: Sequence[ProcessInfo]) -> list[ProcessInfo]:
        leader = self._process.pid
        if not self._settings.enforce_memory:
            return of_session(leader, processes)
        lost = [process for process in processes if process.session in self._sessions]  # its parent has ended
        return list(dict.fromkeys([*of_tree(leader, processes), *lost]))

    def _discard_spool(self) -> None:
        for path in (self._spool.output, self._spool.error):
            path.unlink(missing_ok=True)


def _open_spool(job: Job, directory: Path) -> Spool:
    spool = Spool(directory / f"{job.job_id}.OU", directory / f"{job.job_id}.ER")
    for path in (spool.output, spool.error):
        path.write_bytes(b"")
    return spool


def _deliver(spooled: Path, target: str, name_in_directory: str) -> None:
    path = Path(target.partition(":")[2])
    if path.is_dir():
        path /= name_in_directory
    if not path.parent.is_dir():
        return
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as written, spooled.open("rb") as read:
        shutil.copyfileobj(read, written)

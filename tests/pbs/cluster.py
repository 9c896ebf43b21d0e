"""
A PBS cluster of one's own, for tests and for trying things out; pytest is not needed.

::

    with PbsCluster(Settings(history=False)) as cluster:
        job_id = cluster.run("qsub", "-l", "select=1:ncpus=1", "script.sh").stdout.strip()
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from tests.pbs.client import DIRECTORY, NAME_FILE, SOCKET
from tests.pbs.server import CONTROL_SOCKET, SETTINGS_FILE
from tests.pbs.settings import Settings

_BIN = Path(__file__).parent / "bin"
_REPOSITORY = Path(__file__).parents[2]
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class JobView:
    """A job as the server sees it, whatever `qstat` would say."""

    job_id: str
    name: str
    state: str
    queue: str
    comment: str | None
    exit_status: int | None
    run_count: int
    session_id: int | None
    ncpus: int
    memory_kb: int
    walltime_seconds: int | None

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.state == "F"


class PbsCluster:
    """A running server with its commands; leaves no process and no file."""

    def __init__(self, settings: Settings | None = None, *, extra_environment: Mapping[str, str] | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pbs-", dir="/tmp"))  # short: a socket's path has 107 characters
        self.home = self.directory / "home"
        given = settings or Settings()
        self.settings = given if given.home else replace(given, home=str(self.home))
        self.misbehave = Misbehaviour(self)
        self._extra_environment = dict(extra_environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What has to be set for the commands to be found: `PATH` among it."""
        return {
            "PATH": f"{_BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            DIRECTORY: str(self.directory),
            "PBS_EMULATOR_PYTHON": sys.executable,
        }

    def __enter__(self) -> Self:
        """Start the server, and wait until it answers."""
        for name in ("home", "spool"):
            (self.directory / name).mkdir(exist_ok=True)
        (self.directory / SETTINGS_FILE).write_text(self.settings.to_json())
        (self.directory / NAME_FILE).write_text(self.settings.server_name)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.pbs.server", str(self.directory)],
            cwd=_REPOSITORY,
            env={**os.environ, **self._extra_environment},
            start_new_session=True,  # Ctrl-C is for the tests, which then stop it in order
        )
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop the server and everything that its jobs have started."""
        self.close()

    def close(self) -> None:
        """Stop the server and everything that its jobs have started; safe to repeat."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *command: str, directory: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster's environment, in its home directory by default."""
        where = directory or self.home
        return subprocess.run(
            command,
            cwd=where,
            env={**os.environ, **self.environment, "PWD": str(where)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def submit(self, *arguments: str, stdin: str = "") -> str:
        """Submit a job that is taken, and return its id."""
        ended = self.run("qsub", *arguments, stdin=stdin)
        if ended.returncode:
            raise ValueError(f"qsub ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout.strip()

    def jobs(self) -> list[JobView]:
        """Return all jobs, finished ones too, as the server sees them."""
        return [JobView(**view) for view in self.order("jobs")]

    def job(self, job_id: str) -> JobView:
        """Return one job; raises `KeyError` where there is none of this id."""
        return {job.job_id: job for job in self.jobs()}[job_id]

    def order(self, name: str, value: object = None) -> Any:
        """Have the server do something that no command of PBS does."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.directory / CONTROL_SOCKET))
            connection.sendall(json.dumps({"name": name, "value": value}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
        if isinstance(answer, dict) and "error" in answer:
            raise ValueError(f"{name} {value}: {answer['error']}")
        return answer

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up_at = time.monotonic() + _START_SECONDS
        while not all((self.directory / name).exists() for name in (SOCKET, CONTROL_SOCKET)):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise TimeoutError("the emulated PBS server does not start; what it said is above")
            time.sleep(0.01)


class Misbehaviour:
    """What a PBS server does on its bad days."""

    def __init__(self, cluster: PbsCluster) -> None:
        self._cluster = cluster

    def go_down(self) -> None:
        """Have commands find no server; jobs go on."""
        self._cluster.order("up", value=False)

    def come_back(self) -> None:
        """Have commands find it again."""
        self._cluster.order("up", value=True)

    def answer_after(self, seconds: float) -> None:
        """Have every command wait so long for its answer."""
        self._cluster.order("delay_seconds", seconds)

    def refuse_every(self, nth: int) -> None:
        """Refuse every so-manieth submission for a reason that passes; 0 stops it."""
        self._cluster.order("refuse_every", nth)

    def start_nothing(self) -> None:
        """Leave waiting jobs waiting."""
        self._cluster.order("starts_nothing", value=True)

    def start_again(self) -> None:
        """Start waiting jobs."""
        self._cluster.order("starts_nothing", value=False)

    def hold(self, job_id: str) -> None:
        """Hold a waiting job, as `qhold` does."""
        self._cluster.order("hold", job_id)

    def release(self, job_id: str) -> None:
        """Release a held job, as `qrls` does."""
        self._cluster.order("release", job_id)

    def suspend(self, job_id: str) -> None:
        """Suspend a running job, as its operator does by `qsig -s suspend`: its own session, nothing else."""
        self._cluster.order("suspend", job_id)

    def resume(self, job_id: str) -> None:
        """Have a suspended job go on, as `qsig -s resume` does."""
        self._cluster.order("resume", job_id)

    def requeue(self, job_id: str) -> None:
        """Put a running job back into the queue, as `qrerun` does; refused for one with `-r n`."""
        self._cluster.order("requeue", job_id)

    def fail_node(self, job_id: str) -> None:
        """Lose the node of a running job: with `-r n` it is over, otherwise it is queued again."""
        self._cluster.order("fail_node", job_id)

    def forget(self, job_id: str) -> None:
        """Lose a finished job from the history."""
        self._cluster.order("forget", job_id)

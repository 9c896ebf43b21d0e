"""The server program: `python -m tests.pbs.server DIRECTORY`, with the settings in `DIRECTORY/settings.json`."""

import json
import os
import shutil
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.pbs import commands
from tests.pbs.client import SOCKET
from tests.pbs.commands import Call, Reply
from tests.pbs.errors import PbsError
from tests.pbs.jobs import Job
from tests.pbs.processes import adopt_orphans, kill_descendants
from tests.pbs.settings import Settings
from tests.pbs.site import Site

CONTROL_SOCKET = "control.sock"
SETTINGS_FILE = "settings.json"
_PARENT_SECONDS = 1.0
_PROGRAMS = {"qsub": commands.qsub, "qstat": commands.qstat, "qdel": commands.qdel, "qselect": commands.qselect}
_ON_A_JOB = {
    "hold": Site.hold,
    "release": Site.release,
    "requeue": Site.requeue,
    "suspend": Site.suspend,
    "resume": Site.resume,
    "fail_node": Site.fail_node,
    "forget": Site.forget,
}


class _Listener(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers one socket, each connection in a thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._path = path
        super().__init__(str(path), socketserver.BaseRequestHandler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._answer(request)

    def close(self) -> None:
        """Take no more connections; those that are open are answered."""
        self._path.unlink()
        self.shutdown()
        self.socket.close()


class PbsServer:
    """Commands come by one socket, orders from the tests by another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        settings = Settings.from_json((directory / SETTINGS_FILE).read_text())
        self._site = Site(settings, directory / "spool")
        self._up: _Listener | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Serve until asked to end, or until the process that started it has ended."""
        adopt_orphans()
        parent = os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ended.set())
        threading.Thread(target=self._site.watch, daemon=True).start()
        self._set_up(up=True)
        control = _Listener(self._directory / CONTROL_SOCKET, self._obey)
        while not self._ended.wait(_PARENT_SECONDS) and os.getppid() == parent:
            pass
        control.close()
        self._set_up(up=False)
        self._site.close()
        kill_descendants()
        if os.getppid() != parent:
            shutil.rmtree(self._directory)

    def _answer(self, connection: socket.socket) -> None:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        with os.fdopen(descriptors[0], "rb") as standard_input, connection.makefile("rb") as stream:
            line = stream.readline()
            time.sleep(self._site.delay_seconds)
            request = json.loads(line)
            call = Call(
                request["arguments"],
                Path(request["directory"]),
                request["environment"],
                lambda: standard_input.read().decode(),
            )
            _send(connection, _PROGRAMS[request["program"]](self._site, call))

    def _obey(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            order = json.loads(stream.readline())
        try:
            with self._site.locked():
                answer = self._do(order["name"], order["value"])
        except PbsError as error:
            answer = {"error": str(error)}
        connection.sendall(json.dumps(answer).encode() + b"\n")

    def _do(self, name: str, value: Any) -> object:
        site = self._site
        if name in _ON_A_JOB:
            _ON_A_JOB[name](site, site.find(value))
            site.schedule()
        elif name == "up":
            self._set_up(up=value)
        elif name == "jobs":
            return [_viewed(job) for job in site.jobs.values()]
        else:
            setattr(site, name, value)
            site.schedule()
        return None

    def _set_up(self, *, up: bool) -> None:
        if up and self._up is None:
            self._up = _Listener(self._directory / SOCKET, self._answer)
        elif not up and self._up is not None:
            self._up.close()
            self._up = None


def _viewed(job: Job) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "name": job.submission.name,
        "state": job.state,
        "queue": job.queue,
        "comment": job.comment,
        "exit_status": job.exit_status,
        "run_count": job.run_count,
        "session_id": job.session_id,
        "ncpus": job.request.ncpus,
        "memory_kb": job.request.memory_kb,
        "walltime_seconds": job.request.walltime_seconds,
    }


def _send(connection: socket.socket, reply: Reply) -> None:
    answer = {"stdout": reply.stdout, "stderr": reply.stderr, "code": reply.code}
    connection.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    PbsServer(Path(sys.argv[1])).run()

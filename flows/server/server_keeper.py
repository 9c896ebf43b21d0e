"""
The parent of a Prefect server that may outlive the solve that started it: it ends the server when that is not needed.

`server_lease.py` starts this program, which detaches from its parent and terminal. It imports little, since it stays.
Locks say what is so, because the system frees them when their holders end, whatever the cause:

- `server.lock` is held by this program and by the server, and is free once both have ended.
- `users.lock` is held shared by everything that uses the server. This program takes it alone before it ends the
  server, and keeps it until then, so that nothing begins to use a server that is ending.

`server.json` describes the server. If it is gone, the server ends as soon as nothing uses it.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NoReturn

from climate_ref_prefect.execution.host.process_tree import end_with_parent
from climate_ref_prefect.flows.server.database_template import make_database

RUNNING: Final = "server.lock"
USERS: Final = "users.lock"
DESCRIPTION: Final = "server.json"
STOP_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 1.0


def try_lock(file: IO[Any], operation: int) -> bool:
    """Take a lock on an open file unless another process holds it; return whether it was taken."""
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def server_command(port: int) -> list[str]:
    """Return the command of a Prefect server."""
    return [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def main() -> None:
    """Detach, print the pid, run the server to its end. Arguments: directory, lifetime, descriptor of lock, port."""
    directory, lifetime_seconds, lock, port = sys.argv[1:]
    if pid := os.fork():
        os.write(sys.stdout.fileno(), f"{pid}\n".encode())
        os._exit(0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    signal.signal(signal.SIGTERM, _end)
    make_database(Path(directory), os.environ)
    with Path(directory, USERS).open("r+b") as users:
        _run(server_command(int(port)), int(lock), Path(directory), users, float(lifetime_seconds))


def _run(command: list[str], lock: int, directory: Path, users: IO[bytes], lifetime_seconds: float) -> None:
    server = subprocess.Popen(  # noqa: S603 - our own arguments
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=[lock],
        preexec_fn=end_with_parent,  # noqa: PLW1509 - this program has one thread
    )
    try:
        signal.signal(signal.SIGCHLD, _end_if_server_has_ended)
        _end_if_server_has_ended()
        _wait_until_unneeded(directory, users, lifetime_seconds)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _stop(server)


def _wait_until_unneeded(directory: Path, users: IO[bytes], lifetime_seconds: float) -> None:
    """Return once nothing has used the server for its lifetime. From then on nothing can begin to use it."""
    idle_since = time.monotonic()
    while True:
        if not try_lock(users, fcntl.LOCK_EX):
            fcntl.flock(users, fcntl.LOCK_EX)  # costs nothing, however long the server is used
            idle_since = time.monotonic()
        if time.monotonic() - idle_since >= lifetime_seconds or not _is_described(directory):
            return
        fcntl.flock(users, fcntl.LOCK_UN)
        time.sleep(min(_LOOK_SECONDS, lifetime_seconds))


def _is_described(directory: Path) -> bool:
    """Whether the server's description is there. It is opened, because a network file system then looks for itself."""
    try:
        return bool(json.loads((directory / DESCRIPTION).read_bytes())["pid"] == os.getpid())
    except (OSError, ValueError, KeyError):
        return False


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_if_server_has_ended(number: int = signal.SIGCHLD, _: FrameType | None = None) -> None:
    """End if the only child has ended; the same signal says that it was stopped or goes on."""
    if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
        raise SystemExit(128 + number)


if __name__ == "__main__":
    main()

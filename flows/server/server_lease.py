"""
Find or start the Prefect server of a state directory, and keep it from ending while it is used.

The server runs below `server_keeper.py`, where the locks are described. Importing this does not import Prefect.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from climate_ref_prefect.execution.host.process_tree import end_tree
from climate_ref_prefect.flows.server import server_keeper
from climate_ref_prefect.flows.server.reserved_port import reserved_port
from climate_ref_prefect.flows.server.server_description import (
    LOG,
    ServerDescription,
    ServerError,
    as_server_error,
    describe,
    described,
    opened,
    running_server,
    versions,
)
from climate_ref_prefect.flows.server.server_keeper import DESCRIPTION, RUNNING, STOP_SECONDS, USERS, try_lock

_OF_SERVERS: Final = ("PREFECT_SERVER_", "PREFECT_API_", "PREFECT_HOME")
WAIT_SECONDS: Final = 90.0
_END_SECONDS: Final = STOP_SECONDS + 5.0
_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True)
class ServerRequest:
    """What a server is started with, and must have been started with to be used."""

    environment: Mapping[str, str]
    lifetime_seconds: float
    """How long it stays unused; of no matter to a server that is there already."""
    port: int | None = None
    """None for any."""

    @property
    def settings(self) -> str:
        """A digest of the settings of the server; they hold passwords."""
        named = {name: text for name, text in self.environment.items() if name.startswith(_OF_SERVERS)}
        return hashlib.sha256(json.dumps([sys.prefix, named], sort_keys=True).encode()).hexdigest()

    def is_met_by(self, found: ServerDescription) -> bool:
        """Whether a server is one like this."""
        same = found.versions == versions() and found.settings in ("", self.settings)
        return found.is_alive and same and self.port in (None, found.port)


class ServerLease:
    """
    The use of a running server, which does not end by itself until `release`, or the end of this process.

    Parameters
    ----------
    directory
        Where the server keeps its files.
    description
        The server.
    users
        The open file with the lock of its users.
    is_new
        Whether it was started for this.
    """

    def __init__(self, directory: Path, description: ServerDescription, users: IO[bytes], *, is_new: bool) -> None:
        self.description = description
        self.is_new = is_new
        self._directory = directory
        self._users = users
        self._process = os.getpid()

    def release(self, *, is_usable: bool) -> None:
        """
        Stop using the server, and wait for its end if it is not to stay and nothing else uses it. Safe to repeat.

        Does nothing in a process that was forked from the one that uses the server.

        Parameters
        ----------
        is_usable
            Whether it answered. If it did not, it is ended whatever its lifetime, so that the next solve has another.

        Raises
        ------
        ServerError
            If it did not answer, and is not ended because something else uses it or a person has started it.
        """
        if self._users.closed or self._process != os.getpid():
            return
        found = self.description
        may_end = try_lock(self._users, fcntl.LOCK_EX) and not found.is_started_by_person
        ends = may_end and (not is_usable or found.lifetime_seconds == 0)
        if ends:
            _remove_description(self._directory, found)  # before anything else can begin to use it
        _close(self._users)
        if ends:
            _wait_until_ended(self._directory, found)
        elif not is_usable and found.is_alive:
            raise ServerError(
                "It does not answer, and is not ended because something else uses it or a person has started it: "
                f"{found}. End that, then try again. Its log: {self._directory / LOG}"
            )


def lease_server(directory: Path, request: ServerRequest, wait_seconds: float = WAIT_SECONDS) -> ServerLease:
    """
    Use the server of a state directory; start it if there is none, and replace one that is not as requested.

    It need not answer yet.

    Parameters
    ----------
    directory
        Where the server keeps its files.
    request
        The server that is needed.
    wait_seconds
        How long another server that is in the way is waited for.

    Raises
    ------
    ServerError
        If another server runs there, which does not end, or if none can be started.
    """
    give_up_at = time.monotonic() + wait_seconds
    while (lease := _try_lease(directory, request)) is None:
        found = described(directory)
        if time.monotonic() > give_up_at or (found is not None and found.is_started_by_person):
            raise ServerError(
                f"The state directory is used by {found or 'a Prefect server that is ending'}, "
                f"and cannot have another server beside it ({versions()}). "
                "Try again once that has ended, or name a server in PREFECT_API_URL."
            )
        time.sleep(_PAUSE_SECONDS)
    return lease


def _try_lease(directory: Path, request: ServerRequest) -> ServerLease | None:
    with as_server_error(directory), ExitStack() as stack:
        users = opened(directory / USERS)
        stack.callback(_close, users)
        if not try_lock(users, fcntl.LOCK_SH):
            return None  # The server is ending.
        with opened(directory / RUNNING) as running:
            is_free = try_lock(running, fcntl.LOCK_EX)
            found = _start(directory, request, running) if is_free else described(directory)
        if found is None or not (is_free or request.is_met_by(found)):
            _ask_to_end(directory, users)
            return None
        stack.pop_all()
        return ServerLease(directory, found, users, is_new=is_free)


def _ask_to_end(directory: Path, users: IO[bytes]) -> bool:
    """Have the server end, unless something else uses it; it may be that of another host."""
    found = described(directory)
    if (found is not None and found.is_started_by_person) or not try_lock(users, fcntl.LOCK_EX):
        return False
    _remove_description(directory, found)
    return True


def _remove_description(directory: Path, server: ServerDescription | None) -> None:
    """Have a server end, unless another one is described by now. Whoever does has locked out the users."""
    if described(directory) == server:
        (directory / DESCRIPTION).unlink(missing_ok=True)


@contextmanager
def _opened_users(directory: Path) -> Iterator[IO[bytes]]:
    users = opened(directory / USERS)
    try:
        yield users
    finally:
        _close(users)


def _close(users: IO[bytes]) -> None:
    """Close the file with the lock of the users. A process that was forked meanwhile has it open, too, so unlock it."""
    fcntl.flock(users, fcntl.LOCK_UN)
    users.close()


def stop_server(directory: Path) -> ServerDescription | None:
    """
    End the server of a state directory that nothing uses.

    Returns
    -------
    ServerDescription or None
        What has been ended; None if none was running.

    Raises
    ------
    ServerError
        If it is in use, is not ours to end, or does not end.
    """
    found = running_server(directory)
    if found is None:
        return None
    if found.is_started_by_person:
        raise ServerError(f"A person has started {found}, by `climate-ref-prefect server`: end it there, by Ctrl-C.")
    with as_server_error(directory), _opened_users(directory) as users:
        if not _ask_to_end(directory, users):
            raise ServerError(f"Something uses {found}: try again once that has ended. Its UI: {found.ui(directory)}")
    _wait_until_ended(directory, found)
    if _is_running(directory, found):
        raise ServerError(f"It has not ended yet: {found}.")
    return found


@contextmanager
def described_as_own(directory: Path, port: int) -> Iterator[None]:
    """
    Take the place of the server of a state directory for this process, which then becomes that server.

    Raises
    ------
    ServerError
        If a server is in use there, or does not end.
    """
    stop_server(directory)
    with opened(directory / RUNNING) as running:
        if not try_lock(running, fcntl.LOCK_EX):
            raise ServerError(f"The state directory is used by {described(directory) or 'another server'}.")
        os.set_inheritable(running.fileno(), True)
        describe(directory, os.getpid(), port, settings="", lifetime_seconds=None)
        yield


def _start(directory: Path, request: ServerRequest, running: IO[bytes]) -> ServerDescription:
    with reserved_port(request.port or 0) as (port, place), (directory / LOG).open("ab") as log:
        program = [sys.executable, "-P", "-m", server_keeper.__name__, str(directory), str(request.lifetime_seconds)]
        started = subprocess.run(  # noqa: S603 - our own arguments
            [*program, str(running.fileno()), str(port)],
            env=request.environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            pass_fds=[running.fileno(), *place],
            check=True,
        )
    pid = int(started.stdout)
    return describe(directory, pid, port, settings=request.settings, lifetime_seconds=request.lifetime_seconds)


def _wait_until_ended(directory: Path, server: ServerDescription) -> None:
    """Wait until a server has ended; kill it if that takes too long, where it is of this host."""
    give_up_at = time.monotonic() + _END_SECONDS
    while _is_running(directory, server):
        if time.monotonic() > give_up_at:
            _kill_unless_used(directory, server)
            return
        time.sleep(_PAUSE_SECONDS)


def _kill_unless_used(directory: Path, server: ServerDescription) -> None:
    with _opened_users(directory) as users:
        if try_lock(users, fcntl.LOCK_EX) and server.is_alive and _is_running(directory, server):
            end_tree(server.pid, _END_SECONDS)


def _is_running(directory: Path, server: ServerDescription) -> bool:
    with opened(directory / RUNNING) as running:
        return not try_lock(running, fcntl.LOCK_SH) and (described(directory) or server).pid == server.pid

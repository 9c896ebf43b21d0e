"""A local Prefect server: the settings that make its record of task runs complete, and how to start it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NoReturn
from urllib.parse import quote

from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.host.environment_variables import environment_of_prefect_server
from climate_ref_prefect.execution.host.process_tree import end_with_parent
from climate_ref_prefect.flows.server.proxy_settings import avoid_proxies, refuse_unusable_proxy

SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_UI_API_URL": "/api",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""
Settings with which a server records thousands of task runs. docs/how-to/prefect-server.md gives the reasons.

Triggers and the event persister stand for automations and the event feed, which compete for the same queue. The
address of the API is relative, because Prefect's default is port 4200 whatever port the server has.
"""

_DATABASE: Final = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_READY_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 15.0
_DRAIN_SECONDS: Final = 10.0
_NICENESS: Final = 10


class ServerError(ClimateRefPrefectError):
    """A Prefect server did not start."""


class LocalServer:
    """A running Prefect server on the loopback interface."""

    def __init__(self, port: int) -> None:
        self.ui_url = f"http://127.0.0.1:{port}"
        self.api_url = f"{self.ui_url}/api"


def server_home(home: Path) -> Path:
    """Return the directory in which the server of a state directory keeps its database."""
    return home / "prefect"


@contextmanager
def local_server(home: Path, port: int | None = None) -> Iterator[LocalServer]:
    """
    Run a Prefect server for as long as the context lasts, and point this process at it.

    Parameters
    ----------
    home
        State directory; the server's own database and log lie below it, and stay there.
    port
        Port on the loopback interface; without it, any free port.

    Raises
    ------
    ServerError
        If it does not answer in time. The message names its log.
    """
    directory = server_home(home)
    _make_private(home, directory)
    server = LocalServer(port or _free_port())
    avoid_proxies(server.api_url)
    log_path = directory / "server.log"
    with log_path.open("ab") as log:
        process = _start(directory, server, log)
        try:
            _wait_until_ready(server, process, log_path)
            _send_what_is_queued()  # Prefect's queues keep the server for which they were opened.
            with temporary_settings({PREFECT_API_URL: server.api_url}):
                yield server
        finally:
            _send_what_is_queued()
            _stop(process)


@contextmanager
def configured_or_local_server(home: Path) -> Iterator[str]:
    """
    Use the Prefect server that is configured, else run that of a state directory for as long as the context lasts.

    The temporary server that Prefect would start by itself loses history, and goes on running when this process is
    killed.

    Parameters
    ----------
    home
        State directory; see `local_server`.

    Yields
    ------
    The URL of the server's API.

    Raises
    ------
    BadInputError
        If the server is only to be reached through a proxy that cannot be used.
    ServerError
        If a server of one's own does not start.
    """
    if api_url := PREFECT_API_URL.value():
        refuse_unusable_proxy(api_url)
        yield api_url
        return
    with local_server(home) as server:
        yield server.api_url


def serve(home: Path, port: int) -> NoReturn:
    """Replace this process by the server of a state directory, as `climate-ref-prefect server` does."""
    directory = server_home(home)
    _make_private(home, directory)
    arguments = _command(port)
    os.execve(arguments[0], arguments, _environment(directory))  # noqa: S606


def _make_private(*directories: Path) -> None:
    for directory in directories:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _command(port: int) -> list[str]:
    return [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def _environment(directory: Path) -> dict[str, str]:
    # Prefect makes a URL of its home without quoting it. A database that the user has set is kept.
    database = os.environ.get(_DATABASE, f"sqlite+aiosqlite:///{quote(str(directory / 'prefect.db'))}")
    return environment_of_prefect_server({**SERVER_SETTINGS, "PREFECT_HOME": str(directory), _DATABASE: database})


def _start(directory: Path, server: LocalServer, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    port = int(server.ui_url.rpartition(":")[2])
    return subprocess.Popen(  # noqa: S603 - our own arguments
        _command(port),
        env=_environment(directory),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=_become_background,  # noqa: PLW1509 - nothing else runs yet that could hold a lock
    )


def _wait_until_ready(server: LocalServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up_at = time.monotonic() + _READY_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        with (
            suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"{server.api_url}/health", timeout=2),  # noqa: S310 - our own loopback address
        ):
            return
        time.sleep(0.2)
    ended = f"ended with code {process.returncode}" if process.returncode is not None else "does not answer"
    raise ServerError(f"The Prefect server {ended}. Its log: {log}")


def _send_what_is_queued() -> None:
    """Empty Prefect's queues while the server runs. At the end of the process they would try for a minute."""
    for queued in (APILogWorker, EventsWorker):
        queued.drain_all(timeout=_DRAIN_SECONDS)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _become_background() -> None:
    """End with the parent process, and run at a lower priority so that executions get the processors first."""
    end_with_parent(signal.SIGTERM)
    os.nice(_NICENESS)

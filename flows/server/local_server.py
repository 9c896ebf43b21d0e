"""A Prefect server of the state directory: how to start it, wait for it and use it."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final, NoReturn

from climate_ref_prefect.flows.server.configured_server import may_be_configured
from climate_ref_prefect.flows.server.database_template import make_database
from climate_ref_prefect.flows.server.proxy_settings import avoid_proxies, refuse_unusable_proxy
from climate_ref_prefect.flows.server.server_description import (
    LOG,
    ServerError,
    as_server_error,
    password_of,
    server_home,
)
from climate_ref_prefect.flows.server.server_keeper import server_command
from climate_ref_prefect.flows.server.server_lease import WAIT_SECONDS, ServerRequest, described_as_own, lease_server
from climate_ref_prefect.flows.server.server_readiness import STALLED_SECONDS, run_in_background, wait_until_ready
from climate_ref_prefect.flows.server.server_settings import server_environment, server_lifetime_seconds
from climate_ref_prefect.flows.settings import Settings

_DRAIN_SECONDS: Final = 10.0


class LocalServer:
    """
    A running Prefect server on the loopback interface.

    Parameters
    ----------
    port
        Where it listens.
    password
        What it asks for; None where a person has started it, whose environment then says.
    """

    def __init__(self, port: int, password: str | None = None) -> None:
        self.ui_url = f"http://127.0.0.1:{port}"
        self.api_url = f"{self.ui_url}/api"
        self._password = password

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables of Prefect by which other programs of this user reach it."""
        own = {} if self._password is None else {"PREFECT_API_AUTH_STRING": self._password}
        return {"PREFECT_API_URL": self.api_url, **own}


class StartingServer:
    """
    The Prefect server of a state directory, which may not answer yet, so that other work can be done until it does.

    One that runs already is used. It does not end before `stop`, or the end of this process.

    Parameters
    ----------
    home
        State directory; the server's own database and log lie below it, and stay there.
    port
        Port on the loopback interface; without it, any free port.
    stalled_seconds
        How long it may make no progress before it is given up.
    lifetime_seconds
        How long it stays for others after `stop`. One that is there already stays as long as it was started for.
    wait_seconds
        How long another server that is in the way is waited for.

    Raises
    ------
    ServerError
        If another server of the state directory is in the way, or the system does not allow one to be started. The
        message says what to do.
    """

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        stalled_seconds: float = STALLED_SECONDS,
        lifetime_seconds: float = 0.0,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._stalled_seconds = stalled_seconds
        self._directory = server_home(home)
        with as_server_error(self._directory):
            _make_private(home, self._directory)
        self._password = password_of(self._directory)
        self._request = ServerRequest(server_environment(self._directory, self._password), lifetime_seconds, port)
        self._lease = lease_server(self._directory, self._request, wait_seconds)

    @contextmanager
    def answering(self) -> Iterator[LocalServer]:
        """
        Wait until it answers, and point this process at it for as long as the context lasts.

        Raises
        ------
        ServerError
            If it does not answer in time. The message names its log.
        """
        from prefect.settings import (  # noqa: PLC0415
            PREFECT_API_AUTH_STRING,
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            temporary_settings,
        )

        try:
            server = self._ready()
            # Nothing on this server looks at heartbeats of flow runs, and their thread ends up to a second late.
            settings = {PREFECT_API_URL: server.api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
            if password := server.variables.get(PREFECT_API_AUTH_STRING.name):
                settings[PREFECT_API_AUTH_STRING] = password
            _send_what_is_queued()  # Prefect's queues keep the server for which they were opened.
            with temporary_settings(settings):
                yield server
        finally:
            _send_what_is_queued()

    def stop(self) -> None:
        """Stop using it; it ends now if it is not to stay and has no other user. Safe to repeat."""
        self._lease.release(is_usable=True)

    def _ready(self) -> LocalServer:
        """Return the server once it answers; replace one that was there already and answers no more."""
        while True:
            found = self._lease.description
            server = LocalServer(found.port, None if found.lifetime_seconds is None else self._password)
            avoid_proxies(server.api_url)
            try:
                wait_until_ready(found, server.api_url, self._directory / LOG, self._stalled_seconds)
            except ServerError:
                self._lease.release(is_usable=False)
                if self._lease.is_new:
                    raise
                self._lease = lease_server(self._directory, self._request)
            else:
                run_in_background(found.pid)
                return server


@contextmanager
def local_server(
    home: Path, port: int | None = None, meanwhile: Callable[[], object] = lambda: None, lifetime_seconds: float = 0.0
) -> Iterator[LocalServer]:
    """
    Use the Prefect server of a state directory for as long as the context lasts, and point this process at it.

    Parameters
    ----------
    home, port, lifetime_seconds
        As for `StartingServer`, whose errors this has.
    meanwhile
        Is called while the server starts.
    """
    starting = StartingServer(home, port, lifetime_seconds=lifetime_seconds)
    try:
        meanwhile()
        with starting.answering() as server:
            yield server
    finally:
        starting.stop()


class ChosenServer:
    """
    The Prefect server that is configured, else that of a state directory, which can be begun before it is needed.

    Parameters
    ----------
    home
        State directory.
    lifetime
        See `server_lifetime_seconds`; None for the one of the settings.
    """

    def __init__(self, home: Path, lifetime: timedelta | None = None) -> None:
        self._home = home
        self._lifetime = lifetime
        self._starting: StartingServer | None = None

    def begin(self) -> None:
        """Have a server of one's own start, without waiting for it; `answering` says what keeps it from that."""
        if self._starting is None and not may_be_configured():
            with suppress(ServerError):
                self._start(wait_seconds=0.0)

    @contextmanager
    def answering(self) -> Iterator[str]:
        """
        Wait until it answers, and yield the URL of its API.

        Raises
        ------
        BadInputError
            If the server is only to be reached through a proxy that cannot be used.
        ServerError
            If a server of one's own does not start.
        """
        if api_url := _configured_api_url():
            refuse_unusable_proxy(api_url)
            yield api_url
            return
        starting = self._starting or self._start(WAIT_SECONDS)
        with starting.answering() as server:
            yield server.api_url

    def close(self) -> None:
        """Stop using it; see `StartingServer.stop`."""
        if self._starting is not None:
            self._starting.stop()

    def _start(self, wait_seconds: float) -> StartingServer:
        lifetime = Settings().server_lifetime if self._lifetime is None else self._lifetime
        seconds = server_lifetime_seconds(lifetime)
        self._starting = StartingServer(self._home, lifetime_seconds=seconds, wait_seconds=wait_seconds)
        return self._starting


@contextmanager
def configured_or_local_server(
    home: Path, meanwhile: Callable[[], object] = lambda: None, lifetime: timedelta | None = None
) -> Iterator[str]:
    """
    Use the Prefect server that is configured, else that of a state directory, which may stay for the next call.

    The temporary server that Prefect would start by itself loses history, and goes on running when this process is
    killed.

    Parameters
    ----------
    home, meanwhile
        See `local_server`.
    lifetime
        See `server_lifetime_seconds`; None for the one of the settings.

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
    with closing(ChosenServer(home, lifetime)) as server:
        server.begin()
        meanwhile()
        with server.answering() as api_url:
            yield api_url


def serve(home: Path, port: int) -> NoReturn:
    """
    Replace this process by the server of a state directory, as `climate-ref-prefect server` does.

    Raises
    ------
    ServerError
        If a server is in use there, or the system does not allow one to be started.
    """
    directory = server_home(home)
    arguments, environment = server_command(port), server_environment(directory)
    with as_server_error(directory):
        _make_private(home, directory)
    with as_server_error(directory), described_as_own(directory, port):
        make_database(directory, environment)
        os.execve(arguments[0], arguments, environment)  # noqa: S606


def _configured_api_url() -> str | None:
    if not may_be_configured():
        return None
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - importing Prefect takes seconds

    api_url: str | None = PREFECT_API_URL.value()
    return api_url


def _make_private(*directories: Path) -> None:
    for directory in directories:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _send_what_is_queued() -> None:
    """Empty Prefect's queues while the server runs. At the end of the process they would try for a minute."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - as above
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    for queued in (APILogWorker, EventsWorker):
        queued.drain_all(timeout=_DRAIN_SECONDS)

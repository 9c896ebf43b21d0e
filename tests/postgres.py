"""
A PostgreSQL server of the tests' own: started once per session, gone without a trace at its end.

Use it by importing the fixture in a `conftest.py`: `from tests.postgres import postgres_server`.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from climate_ref_prefect.testing.processes import SERVICE

_SUPERUSER = "tests"
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
"""Nothing has to survive a power cut here."""


class PostgresServer:
    """
    A running server.

    Parameters
    ----------
    directory
        Its data and its socket; there already.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._programs = find_programs()
        self._prefix, owner = _as_ordinary_user()
        if owner is not None:
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        _initialise(self._programs, self._prefix, self)
        self.start()

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        self._process = _start(self._programs, self._prefix, self)
        try:
            _wait_until_ready(self._process, self)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every connection and the server; its data stay."""
        _stop(self._process)

    def kill(self) -> None:
        """End the server as a power cut does; the next start recovers its data."""
        _kill(self._process)

    def url(self, database: str) -> str:
        """Return the URL of a database, with the password."""
        return self._url(database).render_as_string(hide_password=False)

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{uuid4().hex}"
        self.administer(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, and end the connections to it."""
        self.administer(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def administer(self, statement: str) -> None:
        """Run one statement outside any transaction."""
        engine = create_engine(self._url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))

    def _url(self, database: str) -> URL:
        return URL.create("postgresql+psycopg", _SUPERUSER, self.password, "127.0.0.1", self.port, database)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server of one's own, as another user where this process is root's; nothing of it remains."""
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # pytest's own directories are closed to that user
    try:
        server = PostgresServer(directory)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server of the whole session; a test that stops it must start it again."""
    with running_postgres() as server:
        yield server


def find_programs() -> Path:
    """Return where initdb, postgres and the clients are."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    directories = [*reversed(candidates), *([Path(on_path).resolve().parent] if on_path else [])]
    for directory in directories:
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    pytest.fail("PostgreSQL's initdb and postgres are neither in /usr/lib/postgresql/*/bin nor on PATH: install them")


def _as_ordinary_user() -> tuple[list[str], pwd.struct_passwd | None]:
    """Return the command that starts another as an ordinary user who ends with us, and that user."""
    setpriv = shutil.which("setpriv")
    ends_with_us = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if os.geteuid() != 0:
        return ends_with_us, None
    if not setpriv:
        pytest.fail("PostgreSQL refuses to run as root, and setpriv, to run it as another user, is not on PATH")
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return [*ends_with_us, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"], user
    pytest.fail("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _initialise(programs: Path, prefix: list[str], server: PostgresServer) -> None:
    password_file = server.directory / "password"
    password_file.write_text(server.password)
    password_file.chmod(0o644)  # for the user who runs initdb; the directory is closed to all others
    command = [*prefix, str(programs / "initdb"), "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"]
    command += ["--auth=scram-sha-256", f"--username={_SUPERUSER}", f"--pwfile={password_file}"]
    ended = subprocess.run(
        [*command, str(server.directory / "data")], cwd=server.directory, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        pytest.fail(f"initdb failed: {ended.stderr}")


def _start(programs: Path, prefix: list[str], server: PostgresServer) -> subprocess.Popen[bytes]:
    command = [*prefix, str(programs / "postgres"), "-D", str(server.directory / "data"), "-p", str(server.port)]
    command += ["-h", "127.0.0.1", "-k", str(server.directory)]
    for setting in _SETTINGS:
        command += ["-c", setting]
    with (server.directory / "server.log").open("wb") as log:
        # A session of its own: Ctrl-C is for the tests, which then stop it in order.
        return subprocess.Popen(
            command,
            cwd=server.directory,
            env={**os.environ, SERVICE: "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], server: PostgresServer) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.administer("SELECT 1")
        except OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (server.directory / "server.log").read_text()
                pytest.fail(f"PostgreSQL does not start ({error.orig}):\n{log}")
            time.sleep(0.05)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast": ends every connection, leaves no shared memory
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    # Its backends notice within moments; a new server starts only once they have let go of the shared memory.
    psutil.wait_procs(children, timeout=_STOP_SECONDS)

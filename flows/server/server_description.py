"""What the state directory says of its Prefect server: which process it is, where it listens, and its password."""

import fcntl
import os
import secrets
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

from climate_ref_prefect import __version__
from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.execution.host.process_identity import boot_id, pid_namespace, process_start
from climate_ref_prefect.flows.server.server_keeper import DESCRIPTION, RUNNING, try_lock

PASSWORD_FILE: Final = "password"  # noqa: S105 - the name of a file
LOG: Final = "server.log"
_PASSWORD_BYTES: Final = 32


def server_home(home: Path) -> Path:
    """Return the directory in which the server of a state directory keeps its database."""
    return home / "prefect"


class ServerError(ClimateRefPrefectError):
    """A Prefect server did not start."""


@contextmanager
def as_server_error(directory: Path) -> Iterator[None]:
    """Turn what the system refuses, such as to write to a full disk, into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise ServerError(
            f"The Prefect server of {directory} cannot be started, looked for or ended: {error}. "
            "If the disk or your quota is full, make room; otherwise set CLIMATE_REF_PREFECT_HOME to a directory of "
            "yours on another file system, or name a server in PREFECT_API_URL."
        ) from error
    except subprocess.CalledProcessError as error:
        raise ServerError(
            f"The Prefect server of {directory} did not start: its parent ended with exit code {error.returncode}. "
            f"Its log says why: {directory / LOG}"
        ) from error


class ServerDescription(FrozenModel):
    """A Prefect server, as it is described in the state directory."""

    host: str
    boot_id: str
    pid_namespace: str
    """Namespace of the pid; empty if the system does not say."""
    pid: int
    """Its parent, `server_keeper.py`; the server itself where a person has started it."""
    process_started: str
    """Start time of that process, because another one may have got the pid by now."""
    port: int
    versions: str
    settings: str
    """A digest of its settings; empty where a person has started it, with settings and a password of their own."""
    lifetime_seconds: float | None
    """How long it stays unused; None for ever."""

    def __str__(self) -> str:
        """Return a description of it for messages."""
        return f"the Prefect server on port {self.port} of {self.host}, process {self.pid} ({self.versions})"

    def ui(self, directory: Path) -> str:
        """Return where a person looks at it, and how."""
        login = "" if self.lifetime_seconds is None else f" (its password is in {directory / PASSWORD_FILE})"
        return f"http://127.0.0.1:{self.port}{'' if self.is_here else f' on {self.host}'}{login}"

    @property
    def lifetime(self) -> str:
        """How long it stays, in words."""
        seconds = self.lifetime_seconds
        return "it stays until a person ends it" if seconds is None else f"it ends when unused for {seconds:g} s"

    @property
    def is_here(self) -> bool:
        """Whether it can be reached from here, and its pid means its process."""
        return (self.boot_id, self.pid_namespace) == (boot_id(), pid_namespace())

    @property
    def is_alive(self) -> bool:
        """Whether its process is alive, as far as can be seen from here."""
        return self.is_here and process_start(self.pid) == self.process_started

    @property
    def is_started_by_person(self) -> bool:
        """Whether it stays until a person ends it."""
        return self.lifetime_seconds is None and (self.is_alive or not self.is_here)


def describe(
    directory: Path, pid: int, port: int, *, settings: str, lifetime_seconds: float | None
) -> ServerDescription:
    """Describe a server in its directory. Whoever does holds its lock."""
    description = ServerDescription(
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        pid=pid,
        process_started=process_start(pid) or "",
        port=port,
        versions=versions(),
        settings=settings,
        lifetime_seconds=lifetime_seconds,
    )
    new = directory / f"{DESCRIPTION}.new"
    new.write_text(description.model_dump_json(), encoding="utf-8")
    new.replace(directory / DESCRIPTION)
    return description


def described(directory: Path) -> ServerDescription | None:
    """Return the server that is described in a directory, whether or not it still runs."""
    try:
        return ServerDescription.model_validate_json((directory / DESCRIPTION).read_bytes())
    except (FileNotFoundError, ValueError):  # Another version may have written it.
        return None


def running_server(directory: Path) -> ServerDescription | None:
    """Return the server that runs for a state directory; None if there is none."""
    if not (directory / RUNNING).exists():
        return None
    with as_server_error(directory), opened(directory / RUNNING) as running:
        return None if try_lock(running, fcntl.LOCK_SH) else described(directory)


def password_of(directory: Path) -> str:
    """
    Return the password of a state directory's server, which is made at first and stays the same.

    Raises
    ------
    ServerError
        If others may know it, or it can be neither read nor written.
    """
    path = directory / PASSWORD_FILE
    with as_server_error(directory), opened(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            _refuse_unless_private(path, os.fstat(file.fileno()))
            return _read_password(file) or _write_password(file)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _refuse_unless_private(path: Path, status: os.stat_result) -> None:
    """Raise an error where others may read the password, or have the file open already and would read a new one."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == os.geteuid() and not mode & 0o077:
        return
    raise ServerError(
        f"Others may know the password of the Prefect server: {path} has the mode {mode:04o} and belongs to user "
        f"{status.st_uid}. Remove the file, and the next command makes another. If that has the same mode, the file "
        "system keeps none: set CLIMATE_REF_PREFECT_HOME to a directory on another one."
    )


def _read_password(file: IO[bytes]) -> str | None:
    """Return the password of a file; None unless it is whole, as after a crash of the machine or on a full disk."""
    text = file.read().decode("ascii", "replace").strip()
    return text if len(text) >= _PASSWORD_BYTES and text.isascii() and text.isprintable() else None


def _write_password(file: IO[bytes]) -> str:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    file.seek(0)
    file.truncate()
    file.write(f"{password}\n".encode("ascii"))
    file.flush()
    os.fsync(file.fileno())
    return password


def versions() -> str:
    """Return the versions that a server and its users must have in common."""
    return f"Prefect {version('prefect')}, climate-ref-prefect {__version__}"


def opened(path: Path) -> IO[Any]:
    """Open a lock file, which is made if it is missing."""
    path.touch(mode=0o600)
    return path.open("r+b")

"""A coordinator's workspace: its directories, its store and the right to coordinate."""

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.vocabulary import Vocabulary, default_vocabulary
from climate_ref_prefect.flows.retry_rules import RetryPolicies, RetryRule, retry_policies
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.store.store import Store, open_store

_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.03


class Holder(FrozenModel):
    """Who coordinates on a state directory; kept in its lock file."""

    host: str
    pid: int
    flow_run_id: str | None = None
    since: float
    """Seconds since the epoch."""


class Workspace:
    """The places and the store of one coordinator; made by `open_workspace`."""

    def __init__(self, settings: Settings, store: Store, vocabulary: Vocabulary, policies: RetryPolicies) -> None:
        self.settings = settings
        self.policies = policies
        self.store = store
        self.vocabulary = vocabulary
        self.scratch = settings.scratch_directory
        self.results = settings.results_directory


@contextmanager
def open_workspace(
    settings: Settings, *, coordinating: bool, flow_run_id: str | None = None, retry_rules: Sequence[RetryRule] = ()
) -> Iterator[Workspace]:
    """
    Open the directories and the store, checking all of them before anything starts.

    Parameters
    ----------
    settings
        Where everything is.
    coordinating
        Whether executions will be run: then nobody else may at the same time.
    flow_run_id
        Told to whoever finds the workspace taken.
    retry_rules
        Come before those of the site.

    Raises
    ------
    BadInputError
        If a directory cannot be made or written, or the vocabulary, retry rules or database are no good.
    CoordinatorBusyError
        If another coordinator has the workspace.
    """
    vocabulary = Vocabulary.from_yaml(settings.vocabulary) if settings.vocabulary else default_vocabulary()
    policies = retry_policies(settings, retry_rules)
    make_writable(settings.home_directory, "state directory", "CLIMATE_REF_PREFECT_HOME")
    if not coordinating:
        with open_store(settings.store_url) as store:
            yield Workspace(settings, store, vocabulary, policies)
        return
    make_writable(settings.scratch_directory, "scratch directory", "CLIMATE_REF_PREFECT_SCRATCH")
    make_writable(settings.results_directory, "results directory", "CLIMATE_REF_PREFECT_RESULTS", mode=0o750)
    with (
        _coordinator_lock(settings.home_directory, flow_run_id),
        open_store(settings.store_url) as store,
        store.exclusive(),
    ):
        yield Workspace(settings, store, vocabulary, policies)


def make_writable(directory: Path, what: str, variable: str, mode: int = 0o700) -> None:
    """Make a directory where it is missing, and try to write in it; `BadInputError` says what to do if that fails."""
    try:
        directory.mkdir(mode=mode, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise BadInputError(
            f"The {what} {directory} cannot be written: {error.strerror or error}. "
            f"Give another one in {variable}, or make it writable."
        ) from error


def lock_holder(settings: Settings) -> Holder | None:
    """Return who coordinates on the state directory now; none if nobody does."""
    path = _lock_path(settings.home_directory)
    if not path.exists():
        return None
    with path.open("r", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                if written := file.read():
                    return Holder.model_validate_json(written)
                time.sleep(_PAUSE_SECONDS)  # it has just taken the lock, and writes who it is
            else:
                return None


@contextmanager
def _coordinator_lock(home: Path, flow_run_id: str | None) -> Iterator[None]:
    with _lock_path(home).open("a+", encoding="utf-8") as file:
        if not _lock(file):
            file.seek(0)
            raise CoordinatorBusyError(str(home), _who(file.read()))
        file.truncate(0)
        file.write(
            Holder(
                host=socket.gethostname(), pid=os.getpid(), flow_run_id=flow_run_id, since=time.time()
            ).model_dump_json()
        )
        file.flush()
        yield


def _lock(file: IO[str]) -> bool:
    """Take the lock, more than once if need be: who only looks at it (`lock_holder`) has it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False


def _who(written: str) -> str:
    if not written:
        return "a process that has just started"
    holder = Holder.model_validate_json(written)
    return f"process {holder.pid} on {holder.host} (`climate-ref-prefect cancel` stops it)"


def _lock_path(home: Path) -> Path:
    return home / "coordinator.lock"

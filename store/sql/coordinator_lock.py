"""The coordinator lock of a database: one coordinator at a time, and each notices when it has lost the lock."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import URL, Connection, NullPool, text
from sqlalchemy.exc import DBAPIError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.errors import CoordinatorBusyError, LeaseLostError, StoreError
from climate_ref_prefect.store.lock_file import Holder, LockFile, holder_of
from climate_ref_prefect.store.sql.database_location import SQLITE
from climate_ref_prefect.store.sql.engine import explained, postgresql_engine

CHECK_SECONDS: Final = 2.0
"""How often a coordinator checks that it still holds the lock."""
_LONGEST_PAUSE_SECONDS: Final = 10.0
_LOCK_KEY: Final = 1_129_466_183
"""An arbitrary number that other programs do not use. Locks are per database."""
_LONGEST_NAME: Final = 63
"""How many bytes of an application name PostgreSQL stores."""

_HOLDER: Final = text(
    "SELECT coalesce(nullif(application_name, ''), 'unknown') || ', connected since ' || "
    "coalesce(to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), 'unknown') "
    "FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = :key "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_NEVER_IDLE: Final = text(
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'statement_timeout')"
)
"""Settings for a connection that is idle by design. Older servers do not know all of them."""

logger = logging.getLogger(__name__)
Notify = Callable[[str], object]


class CoordinatorLock(Protocol):
    """A lock that keeps a second coordinator out while the first one lives."""

    def take(self) -> None:
        """Acquire the lock. Raises `CoordinatorBusyError` if another coordinator holds it."""
        ...

    def is_held(self) -> bool:
        """Return whether the lock is still held."""
        ...

    def release(self) -> None:
        """Release the lock. Safe to repeat."""
        ...


def coordinator_lock(url: URL, database: str, holder: Holder) -> CoordinatorLock:
    """
    Return the lock of a database, not yet taken.

    Parameters
    ----------
    url
        From `parse_location`.
    database
        Its name for people.
    holder
        The process that asks for the lock.
    """
    if url.drivername != SQLITE:
        return AdvisoryLock(url, database)
    return LockFile(_lock_file(url), holder, database)


def coordinator_of(url: URL, database: str) -> str | None:
    """
    Return who coordinates on a database, for people; None if nobody does, or nothing is known of who does.

    Parameters
    ----------
    url
        From `parse_location`.
    database
        Its name for people.

    Raises
    ------
    StoreUnavailableError
        If PostgreSQL does not answer.
    """
    if url.drivername == SQLITE:
        holder = holder_of(_lock_file(url))
        return None if holder is None else str(holder)
    engine = postgresql_engine(url, poolclass=NullPool)
    with explained(database), engine.connect() as connection:
        found: str | None = connection.scalar(_HOLDER, {"key": _LOCK_KEY})
    return found


def _lock_file(url: URL) -> Path:
    # It lies beside the database file, because different paths may lead to the same file by links.
    path = Path(str(url.database)).resolve()
    return path.with_name(f"{path.name}.lock")


class AdvisoryLock:
    """
    A PostgreSQL advisory lock, held by a connection of its own.

    The server frees it when the connection ends, so a coordinator that dies never leaves it behind.
    It does not work through a pooler that shares connections between transactions.

    Parameters
    ----------
    url
        URL of the database.
    database
        Its name for people.
    """

    def __init__(self, url: URL, database: str) -> None:
        name = f"climate-ref-prefect {socket.gethostname()} {os.getpid()}"
        options = {"application_name": name.encode()[:_LONGEST_NAME].decode(errors="ignore")}
        self._engine = postgresql_engine(url, options, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._database = database
        self._connection: Connection | None = None

    def take(self) -> None:
        """Connect and acquire the lock. Raises `CoordinatorBusyError`, or `StoreUnavailableError` without an answer."""
        self.release()
        with explained(self._database), ExitStack() as closed_on_error:
            connection = closed_on_error.enter_context(self._engine.connect())
            connection.execute(_NEVER_IDLE)
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY}):
                holder = connection.scalar(_HOLDER, {"key": _LOCK_KEY}) or "it has just ended"
                raise CoordinatorBusyError(self._database, holder)
            closed_on_error.pop_all()
            self._connection = connection

    def is_held(self) -> bool:
        """Whether the connection still answers. The server releases the lock when the connection ends."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Close the connection, which frees the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):  # A broken connection holds no lock.
                connection.close()


@contextmanager
def kept(lock: CoordinatorLock, confirm: Callable[[], object], database: str, notify: Notify) -> Iterator[None]:
    """
    Monitor a lock until the context ends, and acquire it again if it was lost.

    Parameters
    ----------
    lock
        A lock that is held; released at the end.
    confirm
        Raises `LeaseLostError` when another coordinator has taken over. The monitoring ends then.
    database
        Name for people.
    notify
        Called with a sentence when the lock is lost or held again.
    """
    keeper = _Keeper(lock, confirm, database, notify)
    thread = threading.Thread(target=keeper.keep, name="keep-coordinator-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        keeper.over.set()
        thread.join()
        lock.release()


class _Keeper:
    def __init__(self, lock: CoordinatorLock, confirm: Callable[[], object], database: str, notify: Notify) -> None:
        self._lock = lock
        self._confirm = confirm
        self._database = database
        self._notify = notify
        self._trouble = ""
        self.over = threading.Event()

    def keep(self) -> None:
        pause_seconds = CHECK_SECONDS
        while not self.over.wait(pause_seconds):
            try:
                self._look()
            except LeaseLostError as lost:
                self._lock.release()  # The lock must not keep out the coordinator that has taken over.
                logger.info("%s", lost)
                return
            except (StoreError, BadInputError, OSError) as error:
                self._say(f"cannot be looked at: {str(error).rstrip('.')}")
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            else:
                pause_seconds = CHECK_SECONDS

    def _look(self) -> None:
        self._confirm()
        if not self._lock.is_held():
            self._say("is lost")
            self._lock.take()
            self._confirm()
        if self._trouble:
            self._trouble = ""
            self._notify(f"The lock on {self._database} is held again, and no other coordinator has worked meanwhile.")

    def _say(self, trouble: str) -> None:
        if not self._trouble:
            self._notify(
                f"The lock on {self._database} {trouble}. Executions go on, and it is tried for again every "
                f"{_LONGEST_PAUSE_SECONDS:g} s at the latest."
            )
        self._trouble = trouble

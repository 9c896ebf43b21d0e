"""The right to coordinate on a database: one coordinator at a time, and each notices when it is no longer the one."""

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
from climate_ref_prefect.store.engine import explained, postgresql_engine
from climate_ref_prefect.store.errors import CoordinatorBusyError, LeaseLostError, StoreError
from climate_ref_prefect.store.location import SQLITE
from climate_ref_prefect.store.lock_file import Holder, LockFile

CHECK_SECONDS: Final = 2.0
"""How often a coordinator looks whether it still is the one."""
_LONGEST_PAUSE_SECONDS: Final = 10.0
_LOCK_KEY: Final = 1_129_466_183
"""Any number that is ours alone; locks are counted per database."""
_LONGEST_NAME: Final = 63
"""Bytes that PostgreSQL keeps of an application's name."""

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
"""The connection is idle by design. Older servers do not know all of these."""

logger = logging.getLogger(__name__)
Notify = Callable[[str], object]


class CoordinatorLock(Protocol):
    """Keeps a second coordinator out for as long as the first one lives."""

    def take(self) -> None:
        """Take it, or take it again; raises `CoordinatorBusyError` if another has it."""
        ...

    def is_held(self) -> bool:
        """Ask whether it is still held."""
        ...

    def release(self) -> None:
        """Free it; safe to repeat."""
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
        Who asks for it.
    """
    if url.drivername != SQLITE:
        return AdvisoryLock(url, database)
    # Beside the file itself: paths and state directories may differ, and lead to the same one by links.
    path = Path(str(url.database)).resolve()
    return LockFile(path.with_name(f"{path.name}.lock"), holder, database)


class AdvisoryLock:
    """
    A lock that PostgreSQL keeps for as long as a connection of its own lives.

    The server frees it when the connection ends, so a coordinator that dies never leaves it behind.
    It does not work through a pooler that shares connections between transactions.

    Parameters
    ----------
    url
        Where the database is.
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
        """Connect and take the lock; raises `CoordinatorBusyError`, or `StoreUnavailableError` without an answer."""
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
        """Whether the connection still answers; without it the lock is gone."""
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
            with suppress(DBAPIError):  # one that has broken holds no lock
                connection.close()


@contextmanager
def kept(lock: CoordinatorLock, confirm: Callable[[], object], database: str, notify: Notify) -> Iterator[None]:
    """
    Look after a lock that is held while the context lasts: take it again where it was lost.

    Parameters
    ----------
    lock
        Taken; released at the end.
    confirm
        Raises `LeaseLostError` when another coordinator has taken over; nothing is looked after from then on.
    database
        Name for people.
    notify
        Told in a sentence when the lock is lost or held again.
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
                self._lock.release()  # whoever has taken over must not be kept from it by the lock of one that has lost
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
            self._notify(f"The lock on {self._database} is held again, and nobody else has coordinated meanwhile.")

    def _say(self, trouble: str) -> None:
        if not self._trouble:
            self._notify(
                f"The lock on {self._database} {trouble}. Executions go on, and it is tried for again every "
                f"{_LONGEST_PAUSE_SECONDS:g} s at the latest."
            )
        self._trouble = trouble

"""The lease: an epoch that each write checks, so that a replaced coordinator changes nothing any more."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from climate_ref_prefect.store.errors import CoordinatorBusyError, LeaseLostError, NotCoordinatingError
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import Allocation
from climate_ref_prefect.store.sql import coordinator_lock
from climate_ref_prefect.store.sql.database_location import parse_location, sqlite_url
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from climate_ref_prefect.testing.processes import wait_until
from tests.postgres import PostgresServer
from tests.store.example_values import (
    HINT,
    METRICS,
    OUTPUTS,
    SERIES,
    allocate,
    coordinated,
    definition,
    holder,
    success,
)

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1129466183"
CUT = (
    f"SELECT pg_terminate_backend(pid) FROM ({HOLDERS} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = :database)) AS held"
)
WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
TAKE_OVER = text("UPDATE lease SET epoch = epoch + 1, holder = :by, taken_at = '2026-01-02 03:04:05'")
WRITES: dict[str, Callable[[Store, int], object]] = {
    "allocate": lambda store, _: allocate(store, definition("another")),
    "mark_dispatched": lambda store, number: store.mark_dispatched(number, HINT, "local"),
    "ingest": lambda store, number: store.ingest(number, OUTPUTS, METRICS, SERIES),
    "finalise": lambda store, number: store.finalise(number, success()),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """For looking behind the store's back."""
    built = build_engine(parse_location(database_url))
    yield built
    built.dispose()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have coordinators look at their lock often."""
    monkeypatch.setattr(coordinator_lock, "CHECK_SECONDS", 0.05)


def take_over(engine: Engine, by: str = "process 7 on elsewhere (state directory /other)") -> None:
    """Do to the database what another coordinator does, whatever locks say."""
    with engine.begin() as connection:
        connection.execute(TAKE_OVER, {"by": by})


@pytest.mark.parametrize("write", WRITES)
def test_a_replaced_coordinator_writes_nothing(database_url: str, engine: Engine, write: str) -> None:
    with coordinated(database_url) as store:
        number = allocate(store).execution_id
        before = (store.executions(), store.counts())
        take_over(engine)
        with pytest.raises(
            LeaseLostError, match=r"process 7 on elsewhere \(state directory /other\) has had it since 202"
        ):
            WRITES[write](store, number)
        assert (store.executions(), store.counts()) == before
        assert not store.scalars([number])
        for check in (store.confirm_lease, store.raise_if_lease_lost):
            with pytest.raises(LeaseLostError):
                check()


@pytest.mark.parametrize("write", WRITES)
def test_a_process_that_does_not_coordinate_writes_nothing(database_url: str, write: str) -> None:
    with coordinated(database_url) as store:
        number = allocate(store).execution_id
    with open_store(database_url) as store:
        with pytest.raises(NotCoordinatingError, match=r"use `Store\.coordinate`"):
            WRITES[write](store, number)
        assert store.counts().unfinished == 1


def test_each_coordinator_has_an_epoch_of_its_own_and_the_identity_stays(database_url: str, engine: Engine) -> None:
    seen = set()
    for epoch in (1, 2, 3):
        with coordinated(database_url) as store, engine.connect() as connection:
            assert connection.scalar(text("SELECT epoch FROM lease")) == epoch
            seen.add(store.identity())
    assert len(seen) == 1


def test_an_idle_coordinator_notices_by_itself_that_it_has_been_replaced(database_url: str, engine: Engine) -> None:
    with coordinated(database_url) as store:
        take_over(engine)

        def is_known() -> bool:
            try:
                store.raise_if_lease_lost()
            except LeaseLostError:
                return True
            return False

        wait_until(is_known)
        with coordinated(database_url) as successor:  # the old one's lock is no obstacle
            allocate(successor)


def test_a_takeover_waits_for_a_write_that_has_begun(postgres_url: str) -> None:
    """Either the write is there before the takeover ends, or it is refused: never afterwards."""
    engine = build_engine(parse_location(postgres_url))
    with ExitStack() as opened:
        store = opened.enter_context(coordinated(postgres_url))
        with store._writing() as connection:
            thread = threading.Thread(target=take_over, args=(engine,))
            thread.start()
            wait_until(lambda: somebody_waits(engine))
            connection.execute(text("UPDATE execution_group SET dirty = false"))
        thread.join()
        with pytest.raises(LeaseLostError):
            allocate(store)
    engine.dispose()


def somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(WAITING))


class TestLostConnections:
    """The lock on PostgreSQL ends with its connection, which may end while its coordinator lives."""

    def test_it_takes_the_lock_again_and_goes_on(self, postgres_url: str) -> None:
        said: list[str] = []
        with open_store(postgres_url) as store, store.coordinate(holder(), said.append):
            for number in range(3):
                cut(postgres_url)
                wait_until(lambda: len(said) == 2 * number + 2)  # noqa: B023 - called at once
                allocate(store, definition(f"k{number}"))
        assert "is lost. Executions go on" in said[0]
        assert "is held again, and no other coordinator has worked meanwhile" in said[1]
        assert len(said) == 6

    def test_the_server_says_that_idle_sessions_end(self, postgres_url: str, postgres_server: PostgresServer) -> None:
        said: list[str] = []
        postgres_server.administer(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET idle_session_timeout = 30")
        with open_store(postgres_url) as store, store.coordinate(holder(), said.append):
            for number in range(20):
                allocate(store, definition(f"k{number}"))
                store.confirm_lease()
        assert not said

    def test_another_coordinator_was_faster(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with coordinated(postgres_url) as store, ExitStack() as taken:
            monkeypatch.setattr(coordinator_lock, "CHECK_SECONDS", 3600.0)
            wait_until(lambda: replaced(postgres_url, taken))
            with pytest.raises(LeaseLostError, match="process 1 on there"):
                allocate(store)
            assert [row.key for row in store.executions()] == ["of the successor"]


def cut(url: str) -> None:
    """End the connections that hold locks of coordinators on a database."""
    engine = build_engine(parse_location(url))
    with engine.begin() as connection:
        connection.execute(text(CUT), {"database": url.rpartition("/")[2]})
    engine.dispose()


def replaced(url: str, taken: ExitStack) -> bool:
    """Cut who coordinates off, and try to coordinate."""
    cut(url)
    try:
        successor = taken.enter_context(open_store(url))
        taken.enter_context(successor.coordinate(Holder(host="there", pid=1, since=0)))
    except CoordinatorBusyError:
        return False
    allocate(successor, definition("of the successor"))
    successor.finalise(successor.unfinished()[0].execution_id, success())
    return True


class TestFiles:
    """SQLite is locked per file, by whatever path it is named and from whichever state directory."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A database."""
        path = tmp_path / "real" / "store.db"
        open_store(sqlite_url(path)).close()
        return path

    @pytest.mark.parametrize("how", ["same", "link to the file", "link to the directory", "dots", "relative"])
    def test_a_second_coordinator_is_refused(
        self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link.db").symlink_to(path)
        (tmp_path / "directory").symlink_to(path.parent)
        urls = {
            "same": sqlite_url(path),
            "link to the file": sqlite_url(tmp_path / "link.db"),
            "link to the directory": sqlite_url(tmp_path / "directory" / path.name),
            "dots": f"sqlite:///{tmp_path}/directory/../real/{path.name}",
            "relative": f"sqlite:///real/{path.name}",
        }
        words = rf"process {os.getpid()} on here \(state directory /home/of/the/tests\)"
        with (
            coordinated(sqlite_url(path)),
            open_store(urls[how]) as other,
            pytest.raises(CoordinatorBusyError, match=words),
        ):
            other.coordinate(holder("/another/home")).__enter__()
        with coordinated(urls[how]):
            pass

    def test_other_files_are_free(self, path: Path) -> None:
        with coordinated(sqlite_url(path)), coordinated(sqlite_url(path.with_name("another.db"))) as other:
            allocate(other)

    def test_after_the_lock_file_was_removed_another_coordinator_takes_over_and_the_first_is_refused(
        self, path: Path
    ) -> None:
        with coordinated(sqlite_url(path)) as store:
            path.with_name("store.db.lock").unlink()
            try:
                with coordinated(sqlite_url(path)) as other:
                    allocate(other)
                    with pytest.raises(LeaseLostError):
                        store.allocate([Allocation(definition=definition("k"), resources=HINT, attempt=1)])
            except CoordinatorBusyError:  # the first has noticed that its lock is gone, and was faster
                allocate(store)

    @pytest.mark.parametrize("torn", ["", "{", '{"host": 3}', "\0"])
    def test_a_torn_lock_file_names_no_holder_and_excludes_no_process(self, path: Path, torn: str) -> None:
        lock_file = path.with_name("store.db.lock")
        lock_file.write_text(torn)
        with coordinated(sqlite_url(path)), open_store(sqlite_url(path)) as other:
            lock_file.write_text(torn)
            with pytest.raises(CoordinatorBusyError, match="does not say which"):
                other.coordinate(holder()).__enter__()

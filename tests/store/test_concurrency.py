import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import make_url, text

from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.store.port import Allocation
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from tests.postgres import PostgresServer
from tests.store.example_values import HINT, METRICS, OUTPUTS, SERIES, allocate, definition, holder, success

HOLDER = """
import sys, time
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.sql.sql_store import open_store
with open_store(sys.argv[1]).coordinate(Holder(host="there", pid=1, since=0)):
    print("held", flush=True)
    time.sleep(60)
"""


def test_many_threads_record_at_once_and_nothing_is_lost(store: Store) -> None:
    batch = [Allocation(definition=definition(f"k{n}"), resources=HINT, attempt=1) for n in range(120)]
    numbers = [one.execution_id for one in store.allocate(batch)]

    def record(number: int) -> None:
        store.mark_dispatched(number, HINT, "local")
        store.ingest(number, OUTPUTS, METRICS, SERIES)
        store.finalise(number, success())
        store.counts()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(record, [*numbers, *numbers]))
    counts = store.counts()
    assert (counts.successful, counts.unfinished, counts.dirty_groups) == (120, 0, 0)
    assert len(store.scalars(numbers)) == 3 * 120
    assert len(store.outputs(numbers)) == len(store.series(numbers)) == 2 * 120


def test_threads_that_allocate_the_same_groups_at_once_share_them(store: Store) -> None:
    batch = [Allocation(definition=definition(f"k{n}"), resources=HINT, attempt=1) for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        allocated = [one for result in pool.map(store.allocate, [batch] * 8) for one in result]
    assert len({one.execution_id for one in allocated}) == len({one.fragment for one in allocated}) == 160
    assert store.counts().groups == 20


def test_a_reader_in_another_store_sees_what_was_committed(store: Store, store_url: str) -> None:
    with open_store(store_url) as other:
        allocate(store)
        assert other.counts().unfinished == 1


def test_a_second_coordinator_on_postgresql_is_refused_with_the_name_of_the_first(postgres_url: str) -> None:
    with open_store(postgres_url) as one, open_store(postgres_url) as other:
        with one.coordinate(holder()):
            with pytest.raises(CoordinatorBusyError, match=r"climate-ref-prefect .* connected since") as busy:
                other.coordinate(holder()).__enter__()
            assert one.name in str(busy.value)
            allocate(one)
        with other.coordinate(holder()):
            allocate(other)


def test_an_error_while_coordinating_passes_through_and_frees_the_place(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        with pytest.raises(KeyError), store.coordinate(holder()):
            raise KeyError
        with store.coordinate(holder()):
            pass


def test_coordinators_of_different_databases_do_not_meet(
    postgres_url: str, sqlite_path_url: str, postgres_server: PostgresServer
) -> None:
    another_url = postgres_server.create_database()
    with ExitStack() as held:
        for url in (postgres_url, another_url, sqlite_path_url):
            held.enter_context(held.enter_context(open_store(url)).coordinate(holder()))
    postgres_server.drop_database(another_url)


def test_a_coordinator_that_is_killed_leaves_no_lock_behind(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        started = subprocess.Popen([sys.executable, "-c", HOLDER, postgres_url], stdout=subprocess.PIPE)
        assert started.stdout is not None
        assert started.stdout.readline() == b"held\n"
        with pytest.raises(CoordinatorBusyError):
            store.coordinate(holder()).__enter__()
        started.kill()
        started.wait()
        started.stdout.close()
        _enter_within(store, seconds=10)


def _enter_within(store: Store, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with store.coordinate(holder()):
                return
        except CoordinatorBusyError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_first_connections_to_new_files_wait_for_each_other(tmp_path: Path) -> None:
    together = Barrier(6)

    def connect(number: int) -> int:
        engine = build_engine(make_url(f"sqlite:///{tmp_path}/{number}.db"))
        together.wait()
        try:
            with engine.connect() as connection:
                return int(connection.execute(text("SELECT 1")).scalar_one())
        finally:
            engine.dispose()

    with ThreadPoolExecutor(together.parties) as threads:
        for number in range(100):
            assert list(threads.map(connect, [number] * together.parties)) == [1] * together.parties

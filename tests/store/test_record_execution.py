from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.store.errors import StoreRefusedError, StoreUnavailableError, UnknownExecutionError
from climate_ref_prefect.store.port import ExecutionStatus
from climate_ref_prefect.store.sql.database_location import parse_location
from climate_ref_prefect.store.sql.dimensions_hash import dimensions_hash
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.sql_store import Store
from tests.store.example_values import (
    HINT,
    METRICS,
    OUTPUTS,
    SERIES,
    allocate,
    coordinated,
    definition,
    failure,
    success,
)

DIMENSIONS = st.dictionaries(st.text(), st.text())


@given(DIMENSIONS, st.randoms())
def test_the_hash_of_dimensions_does_not_depend_on_their_order(dimensions: dict[str, str], random: object) -> None:
    items = list(dimensions.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert dimensions_hash(dict(items)) == dimensions_hash(dimensions)


@given(DIMENSIONS, DIMENSIONS)
def test_different_dimensions_have_different_hashes(one: dict[str, str], other: dict[str, str]) -> None:
    assert (dimensions_hash(one) == dimensions_hash(other)) == (one == other)


def test_the_hash_of_dimensions_is_the_one_that_older_rows_have() -> None:
    assert dimensions_hash({"b": "2", "a": "é"}) == "5b591fcfd510bd646f8b2369bfc76cbefd085826e97cb55801b9710fefc767ea"


def test_what_is_ingested_can_be_read_back_in_the_order_of_the_bundle(store: Store) -> None:
    number = allocate(store).execution_id
    store.ingest(number, OUTPUTS, METRICS, SERIES)
    fields, plot = store.outputs([number])
    assert (fields.output_type, fields.short_name, fields.filename) == ("data", "fields", "data/fields.nc")
    assert (plot.output_type, plot.long_name, plot.dimensions) == ("plots", "A map", {"region": "sea"})
    assert [(row.dimensions["region"], row.value) for row in store.scalars([number])] == [
        ("land", 1.5),
        ("sea", None),
        ("ice", 2.0),
    ]
    assert [row.model_dump(exclude={"execution_id"}) for row in store.series([number])] == [
        one.model_dump() for one in SERIES
    ]


def test_ingesting_twice_inserts_nothing_twice_and_keeps_the_first_values(store: Store) -> None:
    number = allocate(store).execution_id
    store.ingest(number, OUTPUTS, METRICS, SERIES)
    before = (store.outputs([number]), store.scalars([number]), store.series([number]))
    other = OutputBundle(plots={"map": OutputFile(filename="another.png")})
    store.ingest(number, other, METRICS, SERIES)
    assert (store.outputs([number]), store.scalars([number]), store.series([number])) == before


def test_two_attempts_keep_results_of_their_own(store: Store) -> None:
    first, second = allocate(store), allocate(store, attempt=2)
    for one in (first, second):
        store.ingest(one.execution_id, OUTPUTS, METRICS, SERIES)
    assert len(store.scalars([first.execution_id, second.execution_id])) == 6
    assert {row.execution_id for row in store.series([second.execution_id])} == {second.execution_id}


def test_finalising_records_what_was_used_and_what_came_of_it(store: Store) -> None:
    number = allocate(store).execution_id
    store.finalise(number, success("/results/a"))
    (row,) = store.executions()
    assert (row.status, row.successful, row.retryable, row.failure_kind) == (
        ExecutionStatus.FINISHED,
        True,
        False,
        None,
    )
    assert (row.duration_seconds, row.peak_rss_mb, row.results_path) == (3.5, 100.5, "/results/a")
    assert row.telemetry_meta == {
        "job_id": "17",
        "cpu_seconds": 2.5,
        "host": "node1",
        "exit_code": 0,
        "memory_source": "pss",
    }
    assert store.unfinished() == ()


def test_times_are_recorded_in_utc(store: Store) -> None:
    number = allocate(store).execution_id
    store.finalise(number, success())
    (row,) = store.executions()
    assert row.finished_at is not None
    assert row.created_at.utcoffset() == row.finished_at.utcoffset() == timedelta(0)
    assert row.created_at <= row.finished_at <= datetime.now(UTC) < row.created_at + timedelta(minutes=1)


def test_success_clears_the_dirty_flag_of_its_group_alone(store: Store) -> None:
    number = allocate(store, definition("a")).execution_id
    allocate(store, definition("b"))
    store.finalise(number, success())
    assert [store.histories([definition(key)])["demo", "mean", key].dirty for key in "ab"] == [False, True]


def test_a_failure_that_may_be_tried_again_leaves_the_group_dirty(store: Store) -> None:
    store.finalise(allocate(store).execution_id, failure(retryable=True))
    assert store.counts().dirty_groups == 1


def test_a_failure_for_good_clears_the_dirty_flag_and_says_why(store: Store) -> None:
    store.finalise(allocate(store).execution_id, failure(FailureKind.DIAGNOSTIC_ERROR, retryable=False, message="why"))
    (row,) = store.executions()
    assert (row.successful, row.failure_kind, row.failure_message) == (False, FailureKind.DIAGNOSTIC_ERROR, "why")
    assert store.counts().dirty_groups == 0


def test_finalising_twice_changes_nothing(store: Store) -> None:
    number = allocate(store).execution_id
    store.finalise(number, success())
    before = store.executions()
    store.finalise(number, success())
    store.finalise(number, failure())
    assert store.executions() == before


def test_a_repeated_finalise_does_not_undo_a_users_own_dirty_mark(store: Store) -> None:
    number = allocate(store).execution_id
    store.finalise(number, success())
    assert store.mark_dirty("demo") == 1
    store.finalise(number, success())
    assert store.counts().dirty_groups == 1


def test_an_execution_that_does_not_exist_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(UnknownExecutionError, match="999"):
        store.mark_dispatched(999, HINT, "local")
    with pytest.raises(UnknownExecutionError, match="999"):
        store.ingest(999, OUTPUTS, METRICS, SERIES)
    with pytest.raises(UnknownExecutionError, match="999"):
        store.finalise(999, success())


def test_a_number_beyond_what_the_database_holds_is_refused_and_nothing_is_recorded(store: Store) -> None:
    number = allocate(store).execution_id
    metrics = MetricBundle.from_scalars(("model",), {("a",): 1, ("b",): 10**400})
    with pytest.raises(StoreRefusedError, match="too large"):
        store.ingest(number, OUTPUTS, metrics, SERIES)
    assert store.outputs([number]) == ()


def test_a_name_that_no_index_takes_is_refused_as_for_good(shared_postgres_url: str) -> None:
    name = "".join(chr(character) for character in range(0x4E00, 0x4E00 + 4000))
    with coordinated(shared_postgres_url) as store:
        number = allocate(store).execution_id
        with pytest.raises(StoreRefusedError, match="maximum"):
            store.ingest(number, OutputBundle(data={name: OutputFile(filename="map.png")}), METRICS, SERIES)


def execute(url: str, statement: str) -> None:
    """Change a database behind the back of its coordinator."""
    engine = build_engine(parse_location(url))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize(
    ("fault", "mend"),
    [
        ("ALTER TABLE scalar_value RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO scalar_value"),
        ("ALTER TABLE scalar_value RENAME value TO other", "ALTER TABLE scalar_value RENAME other TO value"),
    ],
)
def test_a_database_that_is_out_of_order_may_be_mended(postgres_url: str, fault: str, mend: str) -> None:
    with coordinated(postgres_url) as store:
        number = allocate(store).execution_id
        execute(postgres_url, fault)
        with pytest.raises(StoreUnavailableError):
            store.ingest(number, OUTPUTS, METRICS, SERIES)
        execute(postgres_url, mend)
        store.ingest(number, OUTPUTS, METRICS, SERIES)
        assert store.outputs([number])


def test_a_damaged_database_that_is_in_use_is_unavailable(sqlite_path_url: str) -> None:
    path = Path(str(parse_location(sqlite_path_url).database))
    with coordinated(sqlite_path_url) as store:
        allocate(store)
        store.close()  # its connections; the next call makes a new one
        content = path.read_bytes()
        path.write_bytes(b"something else" * 1000)
        with pytest.raises(StoreUnavailableError):
            allocate(store)
        path.write_bytes(content)
        allocate(store)


@pytest.mark.parametrize("instead", [None, "empty", "copy"])
def test_a_file_that_was_moved_away_takes_nothing_until_it_is_back(sqlite_path_url: str, instead: str | None) -> None:
    path = Path(str(parse_location(sqlite_path_url).database))
    away = path.with_name("away")
    with coordinated(sqlite_path_url) as store:
        allocate(store)
        path.rename(away)
        if instead is not None:
            path.write_bytes(away.read_bytes() if instead == "copy" else b"")
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="file"):
                allocate(store)
            store.close()  # its connections: the next one is made anew
        assert path.exists() == (instead is not None)
        away.replace(path)
        allocate(store)
        assert len(store.executions()) == 2


def test_a_message_with_nul_and_undecodable_bytes_is_recorded_readably(store: Store) -> None:
    store.finalise(allocate(store).execution_id, failure(message="printed \0 and file \udcff.nc"))
    assert store.executions()[0].failure_message == "printed \\x00 and file \\udcff.nc"

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.store.directory_names import LONGEST_KEY, new_fragment, safe_key
from climate_ref_prefect.store.errors import StoreRefusedError
from climate_ref_prefect.store.port import Allocation, ExecutionStatus
from climate_ref_prefect.store.sql.sql_store import Store
from tests.store.example_values import HINT, allocate, dataset, definition, failure, success

HOSTILE_KEYS = [
    "",
    "..",
    "../..",
    "/etc/passwd",
    "a\0b",
    "a/b",
    "-rf",
    ".hidden",
    "ä é",
    "x" * 400,
    "a b",
    "%s",
    "'; --",
]


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_key_gives_a_fragment_that_an_envelope_accepts(key: str) -> None:
    fragment = new_fragment(definition("plain").model_copy(update={"key": key}), datetime.now(UTC))
    ExecutionEnvelope(
        execution_id=1,
        fragment=fragment,
        provider=ProviderReference(target="a:b"),
        definition=definition("plain"),
        resources=HINT,
    )
    assert re.fullmatch(r"demo/mean/[^/]+/\d{8}T\d{6}-[0-9a-f]{8}", fragment)
    assert 0 < len(safe_key(key)) <= LONGEST_KEY


@given(st.text())
def test_two_allocations_of_one_key_in_one_second_have_different_fragments(key: str) -> None:
    about, now = definition("plain").model_copy(update={"key": key}), datetime.now(UTC)
    assert new_fragment(about, now) != new_fragment(about, now)


def test_a_readable_key_stays_readable_in_its_fragment() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert new_fragment(definition("CanESM5.historical"), now).startswith(
        "demo/mean/CanESM5.historical/20260102T030405-"
    )


def test_hostile_keys_are_allocated_each_in_a_group_and_directory_of_its_own(store: Store) -> None:
    definitions = [definition(key, datasets=(dataset("shared"),)) for key in HOSTILE_KEYS]
    allocated = store.allocate([Allocation(definition=one, resources=HINT, attempt=1) for one in definitions])
    assert len({one.fragment for one in allocated}) == len(HOSTILE_KEYS)
    assert store.counts().groups == len(HOSTILE_KEYS)
    histories = store.histories(definitions)
    assert [histories["demo", "mean", key].last_execution_id for key in HOSTILE_KEYS] == [
        one.execution_id for one in allocated
    ]


def test_an_allocated_execution_is_unfinished_and_its_group_dirty(store: Store) -> None:
    about = definition()
    allocated = allocate(store, about)
    (row,) = store.unfinished()
    assert (row.execution_id, row.fragment, row.attempt) == (allocated.execution_id, allocated.fragment, 1)
    assert (row.label, row.status, row.transport) == (about.label, ExecutionStatus.ALLOCATED, None)
    assert store.counts().dirty_groups == 1


def test_results_come_in_the_order_of_the_batch(store: Store) -> None:
    definitions = [definition(key) for key in ("b", "a", "c", "a")]
    allocated = store.allocate([Allocation(definition=one, resources=HINT, attempt=1) for one in definitions])
    assert [one.definition.key for one in allocated] == ["b", "a", "c", "a"]
    labels = {row.execution_id: row.key for row in store.executions()}
    assert [labels[one.execution_id] for one in allocated] == ["b", "a", "c", "a"]


def test_allocating_again_adds_an_attempt_to_the_same_group_and_makes_it_dirty_again(store: Store) -> None:
    first = allocate(store)
    store.finalise(first.execution_id, success())
    assert store.counts().dirty_groups == 0
    again = Allocation(definition=definition(), resources=HINT, attempt=2, replaces=first.execution_id)
    (second,) = store.allocate([again])
    assert second.execution_id > first.execution_id
    assert (store.counts().groups, store.counts().dirty_groups) == (1, 1)


def test_an_attempt_that_replaces_an_unknown_one_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(StoreRefusedError):
        store.allocate([Allocation(definition=definition(), resources=HINT, attempt=2, replaces=999)])
    assert store.counts().groups == 0


def test_an_empty_batch_allocates_nothing(store: Store) -> None:
    assert store.allocate([]) == ()


def test_what_was_asked_for_is_replaced_by_what_is_dispatched(store: Store) -> None:
    allocated = allocate(store)
    larger = ResourceHint(memory_mb=9000, cpu=4, wall_clock=timedelta(minutes=90))
    store.mark_dispatched(allocated.execution_id, larger, "local")
    (row,) = store.executions()
    assert (row.status, row.transport, row.asked) == (ExecutionStatus.DISPATCHED, "local", larger)


def test_a_finished_execution_is_not_dispatched_again(store: Store) -> None:
    allocated = allocate(store)
    store.finalise(allocated.execution_id, failure())
    store.mark_dispatched(allocated.execution_id, HINT, "local")
    assert store.executions()[0].status == ExecutionStatus.FINISHED


def test_two_thousand_executions_on_shared_data_sets_take_few_statements_and_seconds(store: Store) -> None:
    shared = [dataset(f"CMIP6.model{number}") for number in range(300)]
    definitions = [
        definition(f"key{number}", diagnostic=f"d{number % 20}", datasets=(shared[number % 300], shared[0]))
        for number in range(2000)
    ]
    statements: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    started = time.perf_counter()
    store.allocate([Allocation(definition=one, resources=HINT, attempt=1) for one in definitions])
    histories = store.histories(definitions)
    assert time.perf_counter() - started < 8
    assert len(statements) < 60
    assert all(history.last_execution_id is not None for history in histories.values())

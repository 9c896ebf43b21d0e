from datetime import timedelta

import pytest

from climate_ref_prefect.diagnostics.errors import UnknownNameError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.store.port import Allocation
from climate_ref_prefect.store.query_results import GroupHistory, StatusCounts
from climate_ref_prefect.store.sql.sql_store import Store
from tests.store.example_values import HINT, allocate, dataset, definition, failure, success

ADDRESS = ("demo", "mean", "CanESM5")


def test_a_group_that_was_never_tried_has_an_empty_history_and_is_dirty(store: Store) -> None:
    assert store.histories([definition()]) == {ADDRESS: GroupHistory(dirty=True)}


def test_a_history_counts_attempts_and_those_that_do_not_count_apart(store: Store) -> None:
    for kind, counted in (
        (FailureKind.TIMEOUT, True),
        (FailureKind.WORKER_LOST, False),
        (FailureKind.OUT_OF_MEMORY, True),
    ):
        store.finalise(allocate(store).execution_id, failure(kind, counted=counted))
    larger = ResourceHint(memory_mb=8192, wall_clock=timedelta(hours=2))
    last = allocate(store, attempt=4, resources=larger)
    assert store.histories([definition()])[ADDRESS] == GroupHistory(
        dirty=True,
        attempts=3,
        counted_attempts=2,
        lost_attempts=1,
        succeeded=False,
        last_failure=FailureKind.OUT_OF_MEMORY,
        last_retryable=None,
        last_asked=larger,
        last_execution_id=last.execution_id,
    )


def test_a_history_shows_whether_the_latest_attempt_may_be_retried(store: Store) -> None:
    store.finalise(allocate(store).execution_id, failure(retryable=True))
    assert store.histories([definition()])[ADDRESS].last_retryable is True
    store.finalise(allocate(store, attempt=2).execution_id, failure(retryable=False))
    assert store.histories([definition()])[ADDRESS].last_retryable is False


def test_a_history_is_of_the_same_inputs_and_versions_alone(store: Store) -> None:
    store.finalise(allocate(store).execution_id, success())
    changed = definition(datasets=(dataset("CMIP6.CanESM5", fingerprint="changed"),))
    newer = definition(version="2")
    assert store.histories([definition()])[ADDRESS].succeeded
    for other in (changed, newer):
        assert store.histories([other])[ADDRESS] == GroupHistory(dirty=False)


def test_histories_of_equal_keys_in_different_diagnostics_and_providers_stay_apart(store: Store) -> None:
    three = [definition(), definition(diagnostic="trend"), definition(provider="other")]
    for about, times in zip(three, (1, 2, 3), strict=True):
        for _ in range(times):
            store.finalise(allocate(store, about).execution_id, failure())
    histories = store.histories(three)
    assert [histories[one.provider, one.diagnostic, one.key].counted_attempts for one in three] == [1, 2, 3]


def test_histories_of_nothing_are_empty(store: Store) -> None:
    assert store.histories([]) == {}


def test_executions_are_listed_newest_first_and_can_be_limited(store: Store) -> None:
    numbers = [allocate(store, definition(key)).execution_id for key in "abc"]
    assert [row.execution_id for row in store.executions(limit=2)] == numbers[:0:-1]
    assert [row.execution_id for row in store.executions(newest_first=False)] == numbers
    assert store.executions(limit=1)[0].label == "demo/mean/c"


def test_executions_can_be_chosen_by_number_and_unknown_ones_are_left_out(store: Store) -> None:
    numbers = [allocate(store, definition(key)).execution_id for key in "abc"]
    chosen = store.executions(execution_ids=[numbers[2], numbers[0], 999], newest_first=False)
    assert [row.execution_id for row in chosen] == [numbers[0], numbers[2]]
    assert store.executions(execution_ids=[]) == ()


def test_more_numbers_than_fit_in_one_statement_are_read_in_order(store: Store) -> None:
    batch = [Allocation(definition=definition(str(key)), resources=HINT, attempt=1) for key in range(1000)]
    numbers = [one.execution_id for one in store.allocate(batch)]
    found = store.executions(execution_ids=numbers, limit=900)
    assert [row.execution_id for row in found] == sorted(numbers, reverse=True)[:900]


def test_only_unfinished_executions_can_be_listed(store: Store) -> None:
    first, second = allocate(store), allocate(store, attempt=2)
    store.finalise(first.execution_id, failure())
    assert [row.execution_id for row in store.executions(unfinished_only=True)] == [second.execution_id]


def test_counts_show_the_results_of_executions(store: Store) -> None:
    ends = [success(), success(), failure(retryable=True), failure(retryable=False)]
    for position, end in enumerate(ends):
        store.finalise(allocate(store, definition(f"k{position}")).execution_id, end)
    allocate(store, definition("running"))
    assert store.counts() == StatusCounts(
        unfinished=1, successful=2, failed_retryable=1, failed_for_good=1, groups=5, dirty_groups=2
    )


def test_marking_dirty_reaches_one_diagnostic_or_a_whole_provider(store: Store) -> None:
    for about in (definition("a"), definition("b", diagnostic="trend"), definition("c", provider="other")):
        store.finalise(allocate(store, about).execution_id, success())
    assert store.mark_dirty("demo", "trend") == 1
    assert store.counts().dirty_groups == 1
    assert store.mark_dirty("demo") == 2
    assert store.counts().dirty_groups == 2


def test_marking_an_unknown_name_dirty_lists_the_recorded_ones(store: Store) -> None:
    allocate(store)
    with pytest.raises(UnknownNameError, match="demo"):
        store.mark_dirty("dmeo")
    with pytest.raises(UnknownNameError, match="mean"):
        store.mark_dirty("demo", "maen")

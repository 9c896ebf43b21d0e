"""Sizes take turns to be dispatched."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.fair_queue import FairQueue
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import Workspace
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.port import AllocatedExecution, AttemptCounts
from climate_ref_prefect.testing.executions import define
from tests.store.example_values import holder


def attempt(number: int, memory_mb: int = 1000, queue: str | None = None) -> Attempt:
    resources = ResourceHint(memory_mb=memory_mb, cpu=1, wall_clock=timedelta(minutes=5), queue=queue)
    allocated = AllocatedExecution(
        execution_id=number, fragment=f"p/d/{number}", definition=define("noop"), resources=resources, attempt=1
    )
    return Attempt(allocated, WORKSPACE, AttemptCounts())


REFERENCE = ProviderReference(target="suite:provider")
RECORDER = MemoryRecorder()
with RECORDER.coordinate(holder()) as writer:
    WORKSPACE = Workspace(Settings(home=Path("unused")), RECORDER, writer)


def planned(number: int, memory_mb: int = 1000) -> PlannedExecution:
    resources = ResourceHint(memory_mb=memory_mb, cpu=1, wall_clock=timedelta(minutes=5))
    return PlannedExecution(definition=define("noop"), provider=REFERENCE, resources=resources, replaces=number)


def taken_from(turns: FairQueue, under_way: Sequence[Attempt] = ()) -> Attempt:
    taken = turns.take(under_way)
    assert taken is not None
    return taken


def turns_of(*attempts: Attempt) -> FairQueue:
    turns = FairQueue()
    turns.extend(attempts)
    return turns


def test_within_a_size_the_first_comes_first() -> None:
    turns = turns_of(*map(attempt, range(3)))
    assert [taken_from(turns).execution_id for _ in range(3)] == [0, 1, 2]


def test_a_size_that_has_many_under_way_waits_for_others() -> None:
    stuck = [attempt(number, queue="bigmem") for number in range(10)]
    turns = turns_of(*stuck[5:], attempt(10), attempt(11))
    assert [taken_from(turns, stuck[:5]).execution_id for _ in range(3)] == [10, 11, 5]


def test_no_attempt_waits() -> None:
    with pytest.raises(IndexError):
        FairQueue().take([])


@given(st.lists(st.sampled_from([100, 200, 300])), st.lists(st.sampled_from([100, 200, 300])))
def test_each_is_taken_once(waiting: list[int], under_way: list[int]) -> None:
    attempts = [attempt(number, memory_mb) for number, memory_mb in enumerate(waiting)]
    turns, active = turns_of(*attempts), [attempt(-1, memory_mb) for memory_mb in under_way]
    assert len(turns) == len(attempts) == len(list(turns))
    taken = []
    while turns:
        taken.append(taken_from(turns, active))
        active.append(taken[-1])
    assert sorted(one.execution_id for one in taken) == list(range(len(attempts)))


def test_what_is_planned_must_be_allocated_when_it_has_its_turn() -> None:
    turns = FairQueue()
    turns.extend(planned(number) for number in range(5))
    turns.extend([attempt(9)])
    assert turns.take([]) is None
    assert [one.replaces for one in turns.take_planned(3, [])] == [0, 1, 2]
    turns.put_first([attempt(0), attempt(1), attempt(2)])
    assert [taken_from(turns).execution_id for _ in range(3)] == [0, 1, 2]
    assert turns.take([]) is None
    assert [one.replaces for one in turns.take_planned(10, [])] == [3, 4]
    assert [one.execution_id for one in turns] == [9]
    assert taken_from(turns).execution_id == 9


@given(
    st.lists(st.tuples(st.sampled_from([100, 200, 300]), st.booleans()), max_size=40),
    st.lists(st.sampled_from([100, 200, 300]), max_size=20),
    st.integers(1, 9),
)
def test_sizes_take_the_same_turns_whether_they_are_allocated_at_once_or_late(
    waiting: list[tuple[int, bool]], under_way: list[int], together: int
) -> None:
    attempts = [attempt(number, memory_mb) for number, (memory_mb, _) in enumerate(waiting)]
    at_once, late = turns_of(*attempts), FairQueue()
    late.extend(
        attempts[number] if allocated else planned(number, memory_mb)
        for number, (memory_mb, allocated) in enumerate(waiting)
    )
    active = [attempt(-1, memory_mb) for memory_mb in under_way]
    while late:
        taken = late.take(active)
        if taken is None:
            some = late.take_planned(together, active)
            assert 0 < len(some) <= together
            late.put_first([attempts[one.replaces or 0] for one in some])
            continue
        assert taken is at_once.take(active)
        active.append(taken)
    assert not at_once


@given(st.lists(st.integers(1, 30), max_size=200), st.integers(1, 20))
def test_no_more_are_allocated_than_are_dispatched_in_so_many_turns(waiting: list[int], turns: int) -> None:
    late, active = FairQueue(), list[Attempt]()
    late.extend(planned(number, 100 * size) for number, size in enumerate(waiting))
    while late:
        taken = late.take(active)
        if taken is None:
            some = late.take_planned(turns, active)
            late.put_first([attempt(one.replaces or 0, one.granted.memory_mb) for one in some])
            assert 0 < len(list(late)) <= turns
        else:
            active = [*active, taken][-8:]

"""Sizes take turns to be dispatched."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.lifecycle.fair_queue import FairQueue
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


RECORDER = MemoryRecorder()
with RECORDER.coordinate(holder()) as writer:
    WORKSPACE = Workspace(Settings(home=Path("unused")), RECORDER, writer)


def turns_of(*attempts: Attempt) -> FairQueue:
    turns = FairQueue()
    turns.extend(attempts)
    return turns


def test_within_a_size_the_first_comes_first() -> None:
    turns = turns_of(*map(attempt, range(3)))
    assert [turns.take([]).execution_id for _ in range(3)] == [0, 1, 2]


def test_a_size_that_has_many_under_way_waits_for_others() -> None:
    stuck = [attempt(number, queue="bigmem") for number in range(10)]
    turns = turns_of(*stuck[5:], attempt(10), attempt(11))
    assert [turns.take(stuck[:5]).execution_id for _ in range(3)] == [10, 11, 5]


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
        taken.append(turns.take(active))
        active.append(taken[-1])
    assert sorted(one.execution_id for one in taken) == list(range(len(attempts)))

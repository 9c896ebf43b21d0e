"""Packing: executions that run together fit, and none is overtaken for ever."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend, Driving
from climate_ref_prefect.transports import resource_packing
from climate_ref_prefect.transports.resource_packing import OVERTAKEN_AT_MOST, Packing
from climate_ref_prefect.transports.this_machine.in_parallel import ClippedResourcesWarning, LocalTransport
from climate_ref_prefect.transports.transport_driver import TransportDriver

CPU = 4
MEMORY_MB = 100


@dataclass
class Room:
    """A packing, watched: what is in it, and how often each was overtaken."""

    packing: Packing[int] = field(default_factory=lambda: Packing(cpu=CPU, memory_mb=MEMORY_MB, items=6))
    sizes: list[ResourceHint] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    overtaken: Counter[int] = field(default_factory=Counter)

    def add(self, size: ResourceHint) -> None:
        """Let an item come."""
        number = len(self.sizes)
        self.sizes.append(size)
        self.waiting.append(number)
        self.packing.add(number, size)

    def admit(self) -> None:
        """Let in what may start, and look whether it fits."""
        for number in self.packing.admit():
            self.waiting.remove(number)
            self.running.append(number)
            self.overtaken.update(other for other in self.waiting if other < number)
        assert sum(self.sizes[number].cpu for number in self.running) <= CPU
        assert sum(self.sizes[number].memory_mb for number in self.running) <= MEMORY_MB
        assert len(self.running) <= 6

    def release(self, position: int) -> None:
        """Let one that runs end."""
        if self.running:
            self.packing.release(self.running.pop(position % len(self.running)))

    def empty(self) -> None:
        """Let everything end, one after another."""
        while self.running or self.waiting:
            self.admit()
            assert self.running
            self.release(0)


sizes = st.builds(
    ResourceHint, cpu=st.integers(1, CPU), memory_mb=st.integers(1, MEMORY_MB), wall_clock=st.just(timedelta(hours=1))
)
steps = st.lists(sizes | st.integers(0, 5), max_size=120)


def play(steps: list[ResourceHint | int]) -> Room:
    """Let items come and go."""
    room = Room()
    for step in steps:
        if isinstance(step, int):
            room.release(step)
        else:
            room.add(step)
        room.admit()
    return room


@given(steps)
def test_what_runs_at_once_never_exceeds_the_room(steps: list[ResourceHint | int]) -> None:
    play(steps)


@given(steps)
def test_everything_that_fits_alone_is_admitted_in_the_end(steps: list[ResourceHint | int]) -> None:
    room = play(steps)
    room.empty()
    assert room.packing.admit() == []


@pytest.mark.parametrize("at_most", [0, 1, 2, 5])
@given(steps=steps)
def test_no_execution_is_overtaken_more_often_than_the_limit(at_most: int, steps: list[ResourceHint | int]) -> None:
    with patch.object(resource_packing, "OVERTAKEN_AT_MOST", at_most):
        room = play(steps)
        room.empty()
    assert all(count <= at_most for count in room.overtaken.values())


@given(st.lists(sizes, max_size=20))
def test_the_first_in_the_queue_starts_as_soon_as_it_fits(all_sizes: list[ResourceHint]) -> None:
    room = Room()
    for size in all_sizes:
        room.add(size)
    while room.waiting:
        first = room.waiting[0]
        room.admit()
        if first in room.waiting:
            fits = sum(room.sizes[number].cpu for number in room.running) + room.sizes[first].cpu <= CPU
            memory_mb = sum(room.sizes[number].memory_mb for number in room.running) + room.sizes[first].memory_mb
            assert not fits or memory_mb > MEMORY_MB or len(room.running) == 6
        room.release(0)


def test_the_second_of_two_large_ones_is_not_overtaken_twice_as_often() -> None:
    room = Room()
    small, large, whole = (ResourceHint(cpu=cpu, memory_mb=1) for cpu in (1, CPU - 1, CPU))
    for size in (small, small, large, whole):
        room.add(size)
    for lasting in (2, 1):  # how many small ones do not end; with one of them left, the large one fits
        for _ in range(2 * OVERTAKEN_AT_MOST):  # and others keep coming
            room.admit()
            while len(room.running) > lasting:
                room.release(lasting)
            room.add(small)
    assert room.overtaken == {2: OVERTAKEN_AT_MOST, 3: OVERTAKEN_AT_MOST}
    assert 3 in room.waiting


def test_what_is_taken_out_of_the_queue_is_not_admitted() -> None:
    packing: Packing[str] = Packing(items=1)
    for name in ("first", "second", "third"):
        packing.add(name, ResourceHint())
    assert packing.admit() == ["first"]
    assert packing.is_waiting("second")
    packing.release("second")
    packing.release("first")
    assert not packing.is_waiting("second")
    assert packing.admit() == ["third"]


@pytest.fixture(scope="module")
def backend() -> Backend:
    """Return local transports that are filled by two small executions, and by one."""
    return Backend(
        "local",
        lambda: LocalTransport(cpu=2),
        lambda: LocalTransport(cpu=8, memory_mb=300),
        Allowances(timeout_seconds=60.0),
    )


def most_at_once(outcomes: list[ExecutionOutcome]) -> int:
    """Return how many executions ran at the same time at most."""
    moments = []
    for outcome in outcomes:
        begun = outcome.telemetry.started_at
        moments += [(begun, 1), (begun + outcome.telemetry.duration_seconds, -1)]
    at_once = [sum(change for _, change in sorted(moments)[: position + 1]) for position in range(len(moments))]
    return max(at_once)


def test_two_processors_run_no_more_than_two_executions_at_once(own: Driving, prepare: Prepare) -> None:
    outcomes = own.run_all([prepare("nap") for _ in range(8)])
    assert all(outcome.succeeded for outcome in outcomes)
    assert most_at_once(outcomes) <= 2


def test_memory_that_suffices_for_one_runs_one_at_a_time(backend: Backend, prepare: Prepare) -> None:
    with Driving(backend.open_narrow(), backend.allowances) as narrow:
        outcomes = narrow.run_all([prepare("nap") for _ in range(4)])
    assert all(outcome.succeeded for outcome in outcomes)
    assert most_at_once(outcomes) == 1


def test_an_execution_of_two_processors_runs_alone_among_those_of_one(own: Driving, prepare: Prepare) -> None:
    outcomes = own.run_all([prepare("nap", cpu=cpu) for cpu in (1, 2, 1, 2)])
    assert all(outcome.succeeded for outcome in outcomes)
    for wide in (outcomes[1], outcomes[3]):
        for other in outcomes:
            assert other is wide or most_at_once([wide, other]) == 1


def test_a_hint_larger_than_the_machine_is_cut_with_a_warning_and_runs(prepare: Prepare) -> None:
    driver = TransportDriver(LocalTransport(cpu=2, memory_mb=1024))
    directory, resources = prepare("noop", cpu=1000, memory_mb=10**9)
    with pytest.warns(
        ClippedResourcesWarning, match="1000 CPU and 1000000000 MiB; this machine gives it 2 CPU and 1024"
    ):
        outcome = driver.run(directory, resources)
    driver.close(10.0)
    assert outcome.succeeded


def test_a_hint_that_fits_is_given_as_it_is() -> None:
    resources = ResourceHint(cpu=2, memory_mb=1024)
    assert LocalTransport(cpu=2, memory_mb=1024).check(resources) is resources

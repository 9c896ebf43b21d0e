"""Which execution a job is given, which jobs are submitted, and which are released."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.transports.batch.pool.execution import Execution, Room
from climate_ref_prefect.transports.batch.pool.fair_shares import demand, shares
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.plan import Limits, Plan
from climate_ref_prefect.transports.batch.pool.planning import plan
from climate_ref_prefect.transports.batch.pool.throughput_estimate import Pace
from climate_ref_prefect.transports.batch.pool.waiting_executions import WaitingExecutions
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.resource_packing import OVERTAKEN_AT_MOST
from tests.transports.pool.making import HEADROOM_MB, NOW, ONE, OTHER_SIZE, SIZE, execution, holding, job
from tests.transports.pool.plain_planning import next_for, plain_demand, plain_shares


def ready(*running: Execution, **changed: Any) -> Job:
    return holding(job(changed.pop("state", JobState.READY), **changed), *running)


def room_of(one: Job) -> Room:
    return Room(one.free_cpu, one.free_memory_mb(HEADROOM_MB), one.ends_at - NOW)


def choose(one: Job, *waiting: Execution, others: Iterable[Job] = ()) -> tuple[Execution | None, Execution | None]:
    jobs = {each.name: each for each in (one, *others)}
    chosen = WaitingExecutions(waiting).take(one.name, room_of(one), jobs)
    assert chosen == next_for(one, waiting, jobs, HEADROOM_MB, NOW)
    return chosen


def planned(jobs: Iterable[Job], waiting: Iterable[Execution] = (), **options: Any) -> Plan:
    by_size: dict[JobSize, list[Execution]] = {}
    for one in waiting:
        by_size.setdefault(one.size, []).append(one)
    more = {name: options.pop(name) for name in ("pace", "paused", "begin_with") if name in options}
    starts_at_once = options.pop("starts_at_once", 1000)
    rules = PoolLimits(**{"max_jobs": 4, "idle_seconds": 5, **options})
    return plan(list(jobs), by_size, Limits(rules, HEADROOM_MB, starts_at_once), NOW, **more)


class TestAssignment:
    """What a job is given next."""

    def test_the_first_that_fits_is_next(self) -> None:
        first, second = execution(), execution()
        assert choose(ready(), first, second) == (first, None)

    @pytest.mark.parametrize("large", [execution(cpu=7), execution(memory_mb=901)])
    def test_one_that_does_not_fit_beside_what_runs_is_skipped(self, large: Execution) -> None:
        small, busy = execution(), ready(execution(cpu=2))
        chosen, skipped = choose(busy, large, small)
        assert chosen is small
        assert skipped is not None
        assert (skipped.directory, skipped.skipped) == (large.directory, 1)
        assert choose(busy, large) == (None, None)

    def test_memory_is_kept_for_the_worker(self) -> None:
        assert choose(ready(), execution(memory_mb=1001)) == (None, None)
        assert choose(ready(), execution(memory_mb=1000))[0] is not None

    def test_nothing_begins_that_would_outlast_its_job(self) -> None:
        long, short = execution(seconds=100), execution(seconds=50)
        assert choose(ready(ends_at=NOW + 80), long, short) == (short, None)

    def test_a_job_is_reserved_for_what_was_skipped_for_long(self) -> None:
        large, busy, other = execution(cpu=8), ready(execution()), ready(execution())
        for _ in range(OVERTAKEN_AT_MOST):
            chosen, skipped = choose(busy, large, execution())
            assert chosen is not None
            assert skipped is not None
            large = skipped
        chosen, reserved = choose(busy, large, execution(), others=[other])
        assert chosen is None
        assert reserved is not None
        assert reserved.reserved_job == busy.name
        assert choose(busy, reserved, execution(), others=[other]) == (None, None)
        assert choose(other, reserved, small := execution(), others=[busy])[0] is small
        empty = ready(name=busy.name)
        assert choose(empty, reserved, others=[other])[0] is reserved

    @pytest.mark.parametrize("gone", [True, False])
    def test_another_job_is_reserved_when_the_first_is_ready_no_more(self, *, gone: bool) -> None:
        busy, other = ready(execution(), state=JobState.LOST), ready(execution())
        large = execution(cpu=8, skipped=OVERTAKEN_AT_MOST, reserved_job=busy.name)
        chosen, reserved = choose(other, large, execution(), others=[] if gone else [busy])
        assert chosen is None
        assert reserved is not None
        assert reserved.reserved_job == other.name

    def test_what_was_skipped_and_then_given_is_not_kept(self) -> None:
        large, small = execution(cpu=7), execution()
        made = planned([ready(execution(cpu=2)), ready()], [large, small])
        assert {directory for directory, _ in made.starts} == {large.directory, small.directory}
        assert not made.waiting


some_executions = st.lists(
    st.builds(
        execution,
        st.sampled_from([1, 2, 5, 8]),
        st.sampled_from([100, 400, 900]),
        st.sampled_from([60.0, 600.0, 6000.0]),
        skipped=st.sampled_from([0, 1, OVERTAKEN_AT_MOST - 1, OVERTAKEN_AT_MOST]),
        reserved_job=st.sampled_from(["", "job-a", "job-b", "job-gone"]),
    ),
    max_size=24,
)
some_jobs = st.lists(
    st.tuples(st.sampled_from(["job-a", "job-b", "job-c"]), st.integers(0, 8), st.sampled_from([30.0, 700.0, 9000.0])),
    max_size=40,
)


@given(some_executions, some_jobs)
def test_what_a_job_is_given_is_what_a_look_at_each_execution_in_turn_gives(
    waiting: list[Execution], asking: list[tuple[str, int, float]]
) -> None:
    states = {name: ready(name=name) for name in ("job-a", "job-b")}
    fast, plain = WaitingExecutions(waiting), {one.directory: one for one in waiting}
    for name, cpu, seconds in asking:
        busy = [execution(cpu=cpu, memory_mb=50 * cpu)] if cpu else []
        one = ready(*busy, name=name, ends_at=NOW + seconds)
        chosen, kept = fast.take(name, room_of(one), states)
        assert (chosen, kept) == next_for(one, plain.values(), states, HEADROOM_MB, NOW)
        if kept is not None:
            plain[kept.directory] = kept
        if chosen is not None:
            del plain[chosen.directory]
        assert len(fast) == len(plain)
        assert fast.first == next(iter(plain.values()), None)
        assert sorted(request for request, n in fast.requests() for _ in range(n)) == sorted(
            one.request for one in plain.values()
        )


@given(st.dictionaries(st.integers(1, 40), st.integers(0, 30), max_size=12), st.integers(0, 200))
def test_shares_are_those_of_single_turns(wanted: dict[int, int], limit: int) -> None:
    sizes = {SIZE.model_copy(update={"cpu": cpu}): number for cpu, number in wanted.items()}
    assert shares(sizes, limit) == plain_shares(sizes, limit)


sizes_of_executions = st.lists(st.builds(execution, st.integers(1, 8), st.integers(1, 1000)), min_size=1, max_size=30)


@given(sizes_of_executions)
def test_a_job_never_runs_more_than_it_has_room_for_and_everything_is_run(waiting: list[Execution]) -> None:
    nodes = {node.name: node for node in (ready(), ready())}
    left = {one.directory: one for one in waiting}
    while left or any(node.executions for node in nodes.values()):
        made = planned(nodes.values(), left.values(), max_jobs=2)
        for one in made.waiting.values():
            left[one.directory] = one
        for directory, name in made.starts:
            nodes[name] = holding(nodes[name], left.pop(directory))
        for node in nodes.values():
            assert node.free_cpu >= 0
            assert node.free_memory_mb(HEADROOM_MB) >= 0
        assert any(node.executions for node in nodes.values())
        fullest = max(nodes.values(), key=lambda node: len(node.executions))
        nodes[fullest.name] = fullest.without(next(iter(fullest.executions)))


def wanted(waiting: Sequence[Execution], *jobs: Job) -> dict[JobSize, int]:
    by_size: dict[JobSize, list[Execution]] = {}
    for one in waiting:
        by_size.setdefault(one.size, []).append(one)
    found = demand({size: WaitingExecutions(ones) for size, ones in by_size.items()}, jobs, HEADROOM_MB)
    assert list(found.items()) == list(plain_demand(by_size.values(), jobs, HEADROOM_MB).items())
    return found


def followed(
    jobs: Iterable[Job], waiting: Iterable[Execution], **options: Any
) -> tuple[list[tuple[Path, str]], list[str], JobSize | None]:
    """Follow one plan after the other until nothing more starts: what was started, released and submitted at last."""
    nodes, left = {one.name: one for one in jobs}, {one.directory: one for one in waiting}
    starts: list[tuple[Path, str]] = []
    released: list[str] = []
    made = Plan(go_on_with="none")
    while made.starts or made.go_on_with:
        made = planned(nodes.values(), left.values(), begin_with=made.go_on_with, **options)
        assert made.submit is None or not made.go_on_with
        for directory, name in made.starts:
            nodes[name] = holding(nodes[name], left.pop(directory))
        left |= made.waiting
        for name in made.drain:
            state = JobState.DRAINING if nodes[name].executions else JobState.RETIRING
            nodes[name] = dataclasses.replace(nodes[name], state=state)
        starts += made.starts
        released += made.drain
    return starts, sorted(released), made.submit


class TestManyStarts:
    """A plan that ends after some starts, and the next one, which goes on."""

    @given(some_executions, st.lists(st.tuples(st.integers(0, 8), st.sampled_from([0, 60])), max_size=6))
    def test_plans_in_parts_start_and_release_what_whole_plans_do(
        self, waiting: list[Execution], jobs: list[tuple[int, int]]
    ) -> None:
        nodes = [
            ready(*([execution(cpu=cpu)] if cpu else []), idle_since=NOW - idle, ends_at=NOW + 700)
            for cpu, idle in jobs
        ]
        assert followed(nodes, waiting, starts_at_once=1) == followed(nodes, waiting)

    def test_jobs_that_have_not_had_their_turn_are_next_even_if_others_have_room_again(self) -> None:
        first, second, third = (ready() for _ in range(3))
        made = planned([first, second, third], [execution(cpu=8) for _ in range(4)], starts_at_once=1)
        assert ([name for _, name in made.starts], made.go_on_with) == ([first.name], second.name)
        assert (made.submit, made.drain, made.needed) == (None, (), ())
        made = planned(
            [first, second, third], [execution(cpu=8) for _ in range(4)], starts_at_once=1, begin_with=second.name
        )
        assert ([name for _, name in made.starts], made.go_on_with) == ([second.name], third.name)

    def test_where_the_job_to_go_on_with_is_gone_it_begins_with_the_first(self) -> None:
        jobs = [ready(), ready()]
        made = planned(jobs, [execution(cpu=8)], begin_with="gone")
        assert [name for _, name in made.starts] == [jobs[0].name]


class TestDemand:
    """How many jobs are of use."""

    def test_a_job_for_each_execution_of_its_size(self) -> None:
        waiting = [execution(cpu=2, memory_mb=450, size=OTHER_SIZE) for _ in range(3)]
        assert wanted(waiting) == {OTHER_SIZE: 3}

    def test_what_runs_counts_where_it_runs(self) -> None:
        waiting = [execution(cpu=8)]
        assert wanted(waiting, ready(execution(cpu=8)), ready()) == {SIZE: 2}

    def test_as_many_shared_jobs_as_are_filled(self) -> None:
        assert wanted([execution() for _ in range(17)]) == {SIZE: 3}
        assert wanted([execution(memory_mb=400) for _ in range(5)]) == {SIZE: 2}
        assert wanted([execution(memory_mb=501) for _ in range(5)]) == {SIZE: 5}

    @given(some_executions, some_executions, st.lists(some_executions, max_size=3))
    def test_it_is_what_a_look_at_each_execution_gives(
        self, waiting: list[Execution], others: list[Execution], running: list[list[Execution]]
    ) -> None:
        of_other_size = [dataclasses.replace(one, size=OTHER_SIZE) for one in others]
        jobs = [ready(*executions, size=size) for executions in running for size in (SIZE, OTHER_SIZE)]
        wanted([*waiting, *of_other_size], *jobs)

    @given(sizes_of_executions)
    def test_never_more_than_executions(self, waiting: list[Execution]) -> None:
        (jobs,) = wanted(waiting).values()
        assert 1 <= jobs <= len(waiting)


class TestSubmitting:
    """Which job is submitted."""

    def test_one_of_the_size_that_is_furthest_below_its_share(self) -> None:
        waiting = [execution(cpu=8), execution(cpu=8), execution(cpu=2, size=OTHER_SIZE)]
        assert planned([], waiting).submit == SIZE
        assert planned([job(JobState.QUEUED)], waiting).submit == OTHER_SIZE

    @pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.IN_DOUBT])
    def test_none_until_the_submission_before_has_been_answered(self, state: JobState) -> None:
        assert planned([job(state)], [execution(cpu=8) for _ in range(2)]).submit is None

    @pytest.mark.parametrize("state", [JobState.MISSING, JobState.CANCELLING, JobState.LEFT])
    def test_a_job_that_may_not_be_there_takes_no_place(self, state: JobState) -> None:
        assert planned([job(state)], [execution()], max_jobs=1).submit == SIZE

    @pytest.mark.parametrize("state", [JobState.CANCELLING, JobState.VANISHED])
    def test_a_released_job_counts_while_something_runs_in_it(self, state: JobState) -> None:
        assert planned([job(state, ONE)], [execution(cpu=8)], max_jobs=1).submit is None

    def test_no_more_than_may_be_had_nor_than_are_wanted(self) -> None:
        assert planned([job(JobState.QUEUED)], [execution()]).submit is None
        assert planned([job(JobState.RETIRING) for _ in range(4)], [execution()]).submit is None

    def test_none_of_a_size_that_is_paused(self) -> None:
        waiting = [execution(), execution(cpu=2, size=OTHER_SIZE)]
        assert planned([], waiting, paused={SIZE}).submit == OTHER_SIZE

    def test_none_that_would_come_too_late_to_find_anything(self) -> None:
        busy = ready(execution(cpu=8))
        waiting = [execution(cpu=8, submitted_at=NOW) for _ in range(3)]
        slow_start = Pace(recent_starts=(10.0,), run_seconds={SIZE: 1.0})
        assert planned([busy], waiting, pace=slow_start).submit is None
        assert planned([busy], waiting, pace=Pace(recent_starts=(2.0,), run_seconds={SIZE: 1.0})).submit == SIZE
        assert planned([busy], waiting, pace=Pace(recent_starts=(10.0,))).submit == SIZE
        assert planned([], waiting, pace=slow_start).submit == SIZE
        assert planned([busy], waiting, pace=slow_start, executions_per_job=1).submit == SIZE

    @pytest.mark.parametrize("state", [JobState.LOST, JobState.DRAINING, JobState.RESTARTED, JobState.CANCELLING])
    def test_what_runs_in_a_job_that_takes_nothing_more_makes_no_room(self, state: JobState) -> None:
        busy = ready(execution(cpu=8), state=state)
        slow_start = Pace(recent_starts=(10.0,), run_seconds={SIZE: 1.0})
        assert planned([busy], [execution(cpu=8, submitted_at=NOW)], pace=slow_start).submit == SIZE

    @pytest.mark.parametrize(("seconds", "submit"), [(69, None), (71, SIZE)])
    def test_an_estimate_that_was_wrong_keeps_nothing_waiting_for_long(
        self, seconds: float, submit: JobSize | None
    ) -> None:
        waiting = [execution(cpu=8, submitted_at=NOW - seconds)]
        slow_start = Pace(recent_starts=(10.0,), run_seconds={SIZE: 1.0})
        assert planned([ready(execution(cpu=8))], waiting, pace=slow_start).submit == submit

    def test_none_while_those_in_the_queue_have_waited_for_longer_than_the_work_would_last(self) -> None:
        jobs = [ready(execution(cpu=8)), job(JobState.QUEUED, submitted_at=NOW - 100)]
        waiting = [execution(cpu=8, submitted_at=NOW - 100) for _ in range(3)]
        assert planned(jobs, waiting, pace=Pace(run_seconds={SIZE: 60.0})).submit is None
        assert planned(jobs, waiting, pace=Pace(run_seconds={SIZE: 80.0})).submit == SIZE

    @pytest.mark.parametrize(
        ("of_the_queued", "submit"),
        [
            ({}, None),
            ({"cpu": 16}, SIZE),
            ({"memory_mb": 9000}, SIZE),
            ({"walltime_seconds": 7200}, SIZE),
            ({"queue": "long"}, SIZE),
            ({"cpu": 4, "memory_mb": 600}, None),
        ],
    )
    def test_only_jobs_in_the_queue_that_need_no_more_tell_how_long_a_start_takes(
        self, of_the_queued: dict[str, Any], submit: JobSize | None
    ) -> None:
        queued_size = SIZE.model_copy(update=of_the_queued)
        queued = job(JobState.QUEUED, size=queued_size, submitted_at=NOW - 100)
        waiting = [execution(cpu=8, submitted_at=NOW - 10) for _ in range(3)]
        waits_for_the_queued = [execution(cpu=1, size=queued_size, submitted_at=NOW - 10)] if of_the_queued else []
        pace = Pace(run_seconds={SIZE: 30.0, queued_size: 30.0})
        jobs = [ready(execution(cpu=8)), queued]
        assert planned(jobs, [*waiting, *waits_for_the_queued], pace=pace).submit == submit


class TestLettingGo:
    """Which jobs are retired, and which are withdrawn from the queue."""

    def test_one_that_has_not_been_needed_for_a_while(self) -> None:
        long, short = job(JobState.READY, idle_since=NOW - 5), job(JobState.READY, idle_since=NOW - 4)
        assert planned([long, short]).drain == (long.name,)

    def test_one_that_can_take_nothing_of_what_waits(self) -> None:
        old = job(JobState.READY, ends_at=NOW + 30, given=3)
        made = planned([old], [execution(seconds=60)])
        assert (made.drain, made.too_late) == ((old.name,), ())

    def test_one_that_was_too_slow_to_start_is_reported(self) -> None:
        slow = job(JobState.READY, connected_at=NOW, ends_at=NOW + 30)
        made = planned([slow], [execution(seconds=60)])
        assert (made.drain, made.too_late) == ((slow.name,), (slow.name,))

    def test_one_that_has_idled_its_time_away_was_not_too_slow_to_start(self) -> None:
        idle = job(JobState.READY, connected_at=NOW - 600, ends_at=NOW + 30)
        made = planned([idle], [execution(seconds=60)])
        assert (made.drain, made.too_late) == ((idle.name,), ())

    def test_one_that_has_run_as_many_as_it_may(self) -> None:
        one = job(JobState.READY, given=1)
        made = planned([one], [execution(), execution()], executions_per_job=2)
        assert ([name for _, name in made.starts], made.drain) == ([one.name], (one.name,))

    def test_an_idle_one_whose_place_another_size_needs(self) -> None:
        idle = [job(JobState.READY, idle_since=NOW) for _ in range(4)]
        other = execution(cpu=2, size=OTHER_SIZE)
        made = planned(idle, [other])
        assert len(made.drain) == 1
        assert made.submit is None, "its place is free when its worker has left"

    def test_no_more_than_another_size_needs(self) -> None:
        idle = [job(JobState.READY, idle_since=NOW) for _ in range(3)]
        assert planned([*idle, job(JobState.RETIRING)], [execution(cpu=2, size=OTHER_SIZE)]).drain == ()

    def test_an_unneeded_queued_job_is_kept_for_a_while(self) -> None:
        fresh, old = job(JobState.QUEUED, idle_since=NOW - 599), job(JobState.QUEUED, idle_since=NOW - 600)
        assert planned([fresh, old]).drain == (old.name,)
        assert planned([fresh]).needed == ()

    def test_unneeded_queued_jobs_make_room_for_a_starving_size_the_latest_first(self) -> None:
        queued = [job(JobState.QUEUED, submitted_at=NOW - number, idle_since=NOW) for number in (3, 1, 2)]
        jobs = [*queued, ready(execution(cpu=8))]
        made = planned(jobs, [execution(cpu=2, size=OTHER_SIZE, submitted_at=NOW - 60)])
        assert (made.drain, made.submit) == ((queued[1].name,), OTHER_SIZE)
        assert planned(jobs, [execution(cpu=2, size=OTHER_SIZE, submitted_at=NOW - 59)]).drain == ()

    def test_one_in_the_queue_for_which_something_waits_keeps_its_place(self) -> None:
        queued = [job(JobState.QUEUED, submitted_at=NOW - 59) for _ in range(4)]
        waiting = [*(execution(cpu=8) for _ in range(4)), execution(cpu=2, size=OTHER_SIZE)]
        made = planned(queued, waiting)
        assert made.drain == ()
        assert set(made.needed) == {one.name for one in queued}

    def test_unless_it_is_stuck_there_and_another_size_has_no_job_at_all(self) -> None:
        queued = [job(JobState.QUEUED, submitted_at=NOW - 60 - number) for number in range(4)]
        waiting = [*(execution(cpu=8) for _ in range(4)), execution(cpu=2, size=OTHER_SIZE)]
        assert planned(queued, waiting).drain == (queued[0].name,)

    def test_one_too_many_that_was_found_is_withdrawn_again(self) -> None:
        queued = [job(JobState.QUEUED, submitted_at=NOW - number) for number in (2, 1)]
        assert planned(queued, [execution(cpu=8) for _ in range(4)], max_jobs=1).drain == (queued[1].name,)


SIZES = st.builds(lambda cpu: JobSize(cpu=cpu, memory_mb=1, walltime_seconds=1, queue=None), st.integers(1, 6))


@given(st.dictionaries(SIZES, st.integers(1, 20), min_size=1), st.integers(0, 30))
def test_shares_are_no_more_than_the_limit_and_leave_nothing_over(wanted: dict[JobSize, int], limit: int) -> None:
    given_out = shares(wanted, limit)
    assert sum(given_out.values()) == min(limit, sum(wanted.values()))
    assert all(given_out[size] <= wanted[size] for size in wanted)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.integers(1, 8)), max_size=12), st.data())
def test_a_plan_keeps_to_its_limits(max_jobs: int, waiting: list[tuple[bool, int]], data: st.DataObject) -> None:
    states = st.sampled_from([state for state in JobState if state is not JobState.CLOSED])
    jobs = [
        job(state, idle_since=NOW - idle, submitted_at=NOW - waited, size=size)
        for state, idle, waited, size in data.draw(
            st.lists(st.tuples(states, st.integers(0, 60), st.integers(0, 90), st.sampled_from([SIZE, OTHER_SIZE])))
        )
    ]
    executions = [
        execution(cpu=min(cpu, 2), size=OTHER_SIZE) if other else execution(cpu=cpu) for other, cpu in waiting
    ]
    made = planned(jobs, executions, max_jobs=max_jobs)
    by_name = {one.name: one for one in jobs}
    assert len({directory for directory, _ in made.starts}) == len(made.starts)
    assert all(by_name[name].state is JobState.READY for _, name in made.starts)
    assert len(set(made.drain)) == len(made.drain)
    assert all(by_name[name].state in (JobState.READY, JobState.QUEUED) for name in made.drain)
    places = sum(one.has_place for one in jobs)
    freed = sum(by_name[name].state is JobState.QUEUED for name in made.drain)
    assert made.submit is None or places - freed < max_jobs

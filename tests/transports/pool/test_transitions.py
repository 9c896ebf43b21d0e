"""The transitions of a job in each state by each event: a table of all that are not ignored."""

import dataclasses
from typing import TypeAlias

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelAnswered,
    CancelRequested,
    Connected,
    Disconnected,
    DoubtExpired,
    Drain,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    Found,
    NoAnswer,
    NotFound,
    NotTaken,
    Polled,
    Quiet,
    Refused,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CancelJob,
    CloseWorker,
    EndExecutions,
    RejectSize,
    StartFailed,
)
from climate_ref_prefect.transports.batch.pool.transitions import CANCEL_RETRY_SECONDS, DOUBT_SECONDS, step
from climate_ref_prefect.transports.batch.pool.transitions_after_poll import CANCEL_PAUSE_SECONDS, LEAVING_SECONDS
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord
from tests.transports.pool.making import (
    ADDRESS,
    CANCELLED,
    FAILED,
    HINT,
    NEVER,
    NODE_FAIL,
    NOW,
    ONE,
    OTHER_ADDRESS,
    PENDING,
    RUNNING,
    TWO,
    UNKNOWN,
    job,
)

S = JobState
EVENTS: dict[str, Event] = {
    "submitted": Submitted("7"),
    "found": Found("7"),
    "refused": Refused("Invalid qos"),
    "not taken": NotTaken(),
    "no answer": NoAnswer(),
    "not found": NotFound(),
    "doubt expired": DoubtExpired(),
    "connected": Connected(OTHER_ADDRESS, 10.0),
    "disconnected": Disconnected(ADDRESS),
    "pending": Polled(PENDING, NOW),
    "never": Polled(NEVER, NOW),
    "running": Polled(RUNNING, NOW),
    "ended": Polled(FAILED, NOW),
    "ended unconfirmed": Polled(NODE_FAIL, NOW),
    "unknown": Polled(UNKNOWN, NOW),
    "one ends": ExecutionEnded(ONE),
    "one ends out of memory": ExecutionEnded(ONE, out_of_memory=True),
    "quiet": Quiet(),
    "drain": Drain(),
    "cancel": CancelRequested(),
    "cancel answered": CancelAnswered(),
}
Row: TypeAlias = tuple[JobState, tuple[type, ...]]

# Jobs in which nothing runs. What is not here changes nothing and asks for nothing.
EMPTY: dict[tuple[JobState, str], Row] = {
    (S.SUBMITTING, "submitted"): (S.QUEUED, ()),
    (S.SUBMITTING, "found"): (S.QUEUED, ()),
    (S.SUBMITTING, "refused"): (S.CLOSED, (RejectSize,)),
    (S.SUBMITTING, "not taken"): (S.CLOSED, ()),
    (S.SUBMITTING, "no answer"): (S.IN_DOUBT, ()),
    (S.SUBMITTING, "connected"): (S.ARRIVED, ()),
    (S.IN_DOUBT, "submitted"): (S.QUEUED, ()),
    (S.IN_DOUBT, "found"): (S.QUEUED, ()),
    (S.IN_DOUBT, "not found"): (S.MISSING, ()),
    (S.IN_DOUBT, "doubt expired"): (S.MISSING, ()),
    (S.IN_DOUBT, "connected"): (S.ARRIVED, ()),
    (S.MISSING, "submitted"): (S.QUEUED, ()),
    (S.MISSING, "found"): (S.QUEUED, ()),
    (S.MISSING, "connected"): (S.ARRIVED, ()),
    (S.QUEUED, "connected"): (S.READY, ()),
    (S.QUEUED, "never"): (S.CANCELLING, (CancelJob, RejectSize)),
    (S.QUEUED, "ended"): (S.CLOSED, (StartFailed,)),
    (S.QUEUED, "ended unconfirmed"): (S.CLOSED, (StartFailed,)),
    (S.QUEUED, "drain"): (S.CANCELLING, (CancelJob,)),
    (S.QUEUED, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.ARRIVED, "submitted"): (S.READY, ()),
    (S.ARRIVED, "found"): (S.READY, ()),
    (S.ARRIVED, "refused"): (S.CLOSED, (CloseWorker, RejectSize)),
    (S.ARRIVED, "not taken"): (S.CLOSED, (CloseWorker,)),
    (S.ARRIVED, "not found"): (S.MISSING, (CloseWorker,)),
    (S.ARRIVED, "disconnected"): (S.IN_DOUBT, ()),
    (S.READY, "disconnected"): (S.LOST, ()),
    (S.READY, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.READY, "never"): (S.CANCELLING, (CancelJob,)),
    (S.READY, "ended"): (S.CLOSED, ()),
    (S.READY, "ended unconfirmed"): (S.CLOSED, (CloseWorker,)),
    (S.READY, "one ends out of memory"): (S.RETIRING, (CloseWorker,)),
    (S.READY, "drain"): (S.RETIRING, (CloseWorker,)),
    (S.READY, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.RETIRING, "connected"): (S.RETIRING, (CloseWorker,)),
    (S.RETIRING, "disconnected"): (S.LEFT, ()),
    (S.RETIRING, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.RETIRING, "never"): (S.CANCELLING, (CancelJob,)),
    (S.RETIRING, "ended"): (S.CLOSED, ()),
    (S.RETIRING, "ended unconfirmed"): (S.CLOSED, (CloseWorker,)),
    (S.RETIRING, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.LEFT, "connected"): (S.RETIRING, (CloseWorker,)),
    (S.LEFT, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.LEFT, "never"): (S.CANCELLING, (CancelJob,)),
    (S.LEFT, "ended"): (S.CLOSED, ()),
    (S.LEFT, "ended unconfirmed"): (S.CLOSED, (CloseWorker,)),
    (S.LEFT, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "connected"): (S.READY, ()),
    (S.LOST, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "never"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "running"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "ended"): (S.CLOSED, ()),
    (S.LOST, "ended unconfirmed"): (S.CLOSED, (CloseWorker,)),
    (S.LOST, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "connected"): (S.CANCELLING, (CloseWorker,)),
    (S.CANCELLING, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "never"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "running"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "ended"): (S.CLOSED, ()),
    (S.CANCELLING, "ended unconfirmed"): (S.CLOSED, (CloseWorker,)),
    (S.CLOSED, "connected"): (S.CLOSED, (CloseWorker,)),
}
EMPTY_STATES = [state for state in S if state not in (S.DRAINING, S.RESTARTED, S.VANISHED)]

# Jobs in which one execution runs.
BUSY: dict[tuple[JobState, str], Row] = {
    (S.READY, "connected"): (S.RESTARTED, ()),
    (S.READY, "disconnected"): (S.LOST, ()),
    (S.READY, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.READY, "never"): (S.CANCELLING, (CancelJob,)),
    (S.READY, "ended"): (S.CLOSED, (EndExecutions,)),
    (S.READY, "ended unconfirmed"): (S.VANISHED, ()),
    (S.READY, "one ends out of memory"): (S.RETIRING, (CloseWorker,)),
    (S.READY, "drain"): (S.DRAINING, ()),
    (S.READY, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.DRAINING, "connected"): (S.RESTARTED, ()),
    (S.DRAINING, "disconnected"): (S.LOST, ()),
    (S.DRAINING, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.DRAINING, "never"): (S.CANCELLING, (CancelJob,)),
    (S.DRAINING, "ended"): (S.CLOSED, (EndExecutions,)),
    (S.DRAINING, "ended unconfirmed"): (S.VANISHED, ()),
    (S.DRAINING, "one ends"): (S.RETIRING, (CloseWorker,)),
    (S.DRAINING, "one ends out of memory"): (S.RETIRING, (CloseWorker,)),
    (S.DRAINING, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "connected"): (S.RESTARTED, ()),
    (S.LOST, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "never"): (S.CANCELLING, (CancelJob,)),
    (S.LOST, "ended"): (S.CLOSED, (EndExecutions,)),
    (S.LOST, "ended unconfirmed"): (S.VANISHED, ()),
    (S.LOST, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.RESTARTED, "disconnected"): (S.LOST, ()),
    (S.RESTARTED, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.RESTARTED, "never"): (S.CANCELLING, (CancelJob,)),
    (S.RESTARTED, "ended"): (S.VANISHED, ()),
    (S.RESTARTED, "ended unconfirmed"): (S.VANISHED, ()),
    (S.RESTARTED, "one ends"): (S.READY, ()),
    (S.RESTARTED, "one ends out of memory"): (S.READY, ()),
    (S.RESTARTED, "quiet"): (S.READY, (EndExecutions,)),
    (S.RESTARTED, "cancel"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "connected"): (S.CANCELLING, (CloseWorker,)),
    (S.CANCELLING, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "never"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "running"): (S.CANCELLING, (CancelJob,)),
    (S.CANCELLING, "ended"): (S.CLOSED, (EndExecutions,)),
    (S.CANCELLING, "ended unconfirmed"): (S.VANISHED, ()),
    (S.VANISHED, "connected"): (S.RESTARTED, ()),
    (S.VANISHED, "pending"): (S.CANCELLING, (CancelJob,)),
    (S.VANISHED, "never"): (S.CANCELLING, (CancelJob,)),
    (S.VANISHED, "running"): (S.LOST, ()),
    (S.VANISHED, "ended"): (S.CLOSED, (EndExecutions,)),
    (S.VANISHED, "one ends"): (S.CLOSED, (CloseWorker,)),
    (S.VANISHED, "one ends out of memory"): (S.CLOSED, (CloseWorker,)),
    (S.VANISHED, "quiet"): (S.CLOSED, (EndExecutions, CloseWorker)),
}
BUSY_STATES = [S.READY, S.DRAINING, S.LOST, S.RESTARTED, S.CANCELLING, S.VANISHED]


def taken(before: Job, event: Event) -> Row:
    after, actions = step(before, event, NOW)
    return after.state, tuple(type(action) for action in actions)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", EMPTY_STATES)
def test_a_job_in_which_nothing_runs(state: JobState, event: str) -> None:
    assert taken(job(state), EVENTS[event]) == EMPTY.get((state, event), (state, ()))


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", BUSY_STATES)
def test_a_job_in_which_something_runs(state: JobState, event: str) -> None:
    assert taken(job(state, ONE), EVENTS[event]) == BUSY.get((state, event), (state, ()))


def test_the_tables_name_no_state_that_is_not_tried() -> None:
    assert {state for state, _ in EMPTY} <= set(EMPTY_STATES)
    assert {state for state, _ in BUSY} <= set(BUSY_STATES)
    assert {event for _, event in (*EMPTY, *BUSY)} <= set(EVENTS)


class TestUnknown:
    """A scheduler may be slow to show a new job."""

    @pytest.mark.parametrize("state", [S.QUEUED, S.READY, S.LOST])
    def test_unknown_once_means_nothing_and_twice_in_a_row_that_it_is_over(self, state: JobState) -> None:
        once, nothing = step(job(state), Polled(UNKNOWN, NOW), NOW)
        assert (once.state, nothing) == (state, ())
        assert step(once, Polled(UNKNOWN, NOW), NOW)[0].state is S.CLOSED

    def test_in_between_it_was_there(self) -> None:
        lost = job(S.LOST, ONE)
        for record in (UNKNOWN, RUNNING, UNKNOWN):
            lost, actions = step(lost, Polled(record, NOW), NOW)
            assert (lost.state, actions) == (S.LOST, ())

    def test_the_earlier_record_is_still_reported(self) -> None:
        lost = job(S.LOST, ONE)
        for record in (RUNNING, UNKNOWN, UNKNOWN):
            lost, _ = step(lost, Polled(record, NOW), NOW)
        assert lost.record is not None
        assert (lost.record.node, lost.record.words) == ("node1", "Unknown Job Id 7")
        _, (end, _) = step(lost, Quiet(), NOW)
        assert isinstance(end, EndExecutions)
        assert end.cause.message == "SLURM job 7 ended on node1 before the execution did: Unknown Job Id 7."


class TestConnections:
    """A worker that connects and goes."""

    def test_the_walltime_counts_from_the_start_of_the_job(self) -> None:
        ready, _ = step(job(S.QUEUED), Connected(ADDRESS, age_seconds=100), NOW)
        assert ready.ends_at == NOW - 100 + 3600
        assert (ready.address, ready.connected_at, ready.idle_since) == (ADDRESS, NOW, NOW)

    @pytest.mark.parametrize("state", [S.READY, S.DRAINING, S.RESTARTED])
    def test_the_end_of_an_earlier_connection_is_none_of_this_one(self, state: JobState) -> None:
        before = job(state, ONE, address=OTHER_ADDRESS)
        assert step(before, Disconnected(ADDRESS), NOW) == (before, ())

    def test_an_answer_that_is_older_than_the_worker_does_not_mean_that_the_job_was_requeued(self) -> None:
        before = job(S.READY, connected_at=NOW)
        after, actions = step(before, Polled(PENDING, NOW - 1), NOW)
        assert (after.state, actions) == (S.READY, ())

    def test_a_worker_that_comes_before_the_submission_was_answered_waits_for_the_id(self) -> None:
        arrived, _ = step(job(S.SUBMITTING), Connected(ADDRESS), NOW)
        assert (arrived.state, arrived.job_id) == (S.ARRIVED, "")
        ready, _ = step(arrived, Submitted("8"), NOW)
        assert (ready.state, ready.job_id, ready.address) == (S.READY, "8", ADDRESS)

    @pytest.mark.parametrize("known_by", [Submitted("8"), Found("8")])
    def test_a_job_whose_worker_is_gone_before_its_id_is_known_does_not_run_on_in_vain(self, known_by: Event) -> None:
        arrived, _ = step(job(S.IN_DOUBT), Connected(ADDRESS), NOW)
        gone, _ = step(arrived, Disconnected(ADDRESS), NOW)
        lost, _ = step(gone, known_by, NOW)
        assert (lost.state, lost.job_id) == (S.LOST, "8")
        cancelled, actions = step(lost, Polled(RUNNING, NOW), NOW)
        assert (cancelled.state, actions) == (S.CANCELLING, (CancelJob(lost.name, "8"),))


class TestRestart:
    """A job that is requeued and starts again, although it asked not to be."""

    def test_it_is_never_ready_while_what_it_ran_has_not_ended(self) -> None:
        busy = job(S.READY, ONE, TWO)
        lost, _ = step(busy, Disconnected(ADDRESS), NOW)
        again, actions = step(lost, Connected(OTHER_ADDRESS), NOW)
        assert (again.state, actions) == (S.RESTARTED, ())
        one_left, _ = step(again, ExecutionEnded(ONE), NOW)
        assert one_left.state is S.RESTARTED
        ready, _ = step(one_left, ExecutionEnded(TWO), NOW)
        assert (ready.state, ready.address) == (S.READY, OTHER_ADDRESS)

    def test_executions_without_a_heartbeat_are_reported_to_have_ended_with_the_restart(self) -> None:
        ready, (end,) = step(job(S.RESTARTED, ONE), Quiet(), NOW)
        assert not ready.executions
        assert isinstance(end, EndExecutions)
        assert end.directories == (ONE,)
        assert end.cause.kind is FailureKind.WORKER_LOST
        assert "SLURM has started job 7 again" in end.cause.message

    @pytest.mark.parametrize("state", [S.LOST, S.CANCELLING])
    @pytest.mark.parametrize("again", [Polled(PENDING, NOW), Connected(OTHER_ADDRESS)])
    def test_the_end_of_its_last_run_tells_nothing_of_what_an_earlier_has_left_on_a_node_that_is_cut_off(
        self, again: Event, state: JobState
    ) -> None:
        lost, _ = step(job(state, ONE), again, NOW)
        vanished, actions = step(lost, Polled(CANCELLED, NOW), NOW)
        assert (vanished.state, actions) == (S.VANISHED, ())
        _, (end, _) = step(vanished, Quiet(), NOW)
        assert isinstance(end, EndExecutions)

    def test_what_is_run_after_that_ends_with_the_job(self) -> None:
        ready, _ = step(job(S.RESTARTED, ONE), ExecutionEnded(ONE), NOW)
        busy, _ = step(ready, ExecutionStarted(TWO, HINT), NOW)
        _, (end,) = step(busy, Polled(FAILED, NOW), NOW)
        assert isinstance(end, EndExecutions)

    def test_giving_an_execution_to_a_job_that_is_not_ready_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="which is restarted"):
            step(job(S.RESTARTED, ONE), ExecutionStarted(TWO, HINT), NOW)


class TestCancelling:
    """The scheduler is asked to cancel once, then polled, and asked again only after a pause."""

    def test_the_request_is_repeated_after_a_pause_if_the_job_still_exists(self) -> None:
        told, actions = step(job(S.READY, ONE), CancelRequested(), NOW)
        assert actions == (CancelJob(told.name, "7"),)
        answered, _ = step(told, CancelAnswered(), NOW + 1)
        early, nothing = step(answered, Polled(RUNNING, NOW), NOW + CANCEL_PAUSE_SECONDS)
        assert nothing == ()
        _, again = step(early, Polled(RUNNING, NOW), NOW + 1 + CANCEL_PAUSE_SECONDS)
        assert again == (CancelJob(told.name, "7"),)

    def test_a_repeated_request_is_ignored(self) -> None:
        told, _ = step(job(S.READY, ONE), CancelRequested(), NOW)
        assert step(told, CancelRequested(), NOW + 2 * CANCEL_PAUSE_SECONDS) == (told, ())

    def test_a_failed_request_is_repeated_soon(self) -> None:
        told, _ = step(job(S.LOST), CancelRequested(), NOW)
        failed, _ = step(told, CancelAnswered("timed out"), NOW)
        assert step(failed, Polled(RUNNING, NOW), NOW + CANCEL_RETRY_SECONDS - 1)[1] == ()
        assert step(failed, Polled(RUNNING, NOW), NOW + CANCEL_RETRY_SECONDS)[1] == (CancelJob(told.name, "7"),)

    def test_a_job_that_seemed_to_be_over_is_not_cancelled_twice(self) -> None:
        told, _ = step(job(S.READY, ONE), CancelRequested(), NOW)
        for record in (NODE_FAIL, RUNNING):
            told, _ = step(told, Polled(record, NOW), NOW + 1)
        assert told.state is S.LOST
        after, actions = step(told, Polled(PENDING, NOW), NOW + 2)
        assert (after.state, actions) == (S.CANCELLING, ())


class TestDoubt:
    """A job that may have been submitted."""

    def test_it_is_looked_for_as_long_as_a_request_may_be_on_its_way(self) -> None:
        missing = job(S.MISSING, submitted_at=NOW)
        assert step(missing, NotFound(), NOW + DOUBT_SECONDS)[0].state is S.MISSING
        assert step(missing, NotFound(), NOW + DOUBT_SECONDS + 1)[0].state is S.CLOSED

    def test_one_that_is_found_is_followed(self) -> None:
        found, _ = step(job(S.MISSING), Found("9;cm2"), NOW)
        assert (found.state, found.job_id) == (S.QUEUED, "9;cm2")


class TestEnds:
    """The reports of executions whose job has ended."""

    @pytest.mark.parametrize("record", [FAILED, CANCELLED])
    def test_all_that_ran_ends_with_it(self, record: JobRecord) -> None:
        closed, (end,) = step(job(S.LOST, ONE, TWO), Polled(record, NOW), NOW)
        assert isinstance(end, EndExecutions)
        assert end.directories == (ONE, TWO)
        assert record.words in end.cause.message
        assert end.cause.kind is FailureKind.WORKER_LOST
        assert not closed.executions

    def test_the_first_that_ends_for_lack_of_memory_is_the_last_that_is_given(self) -> None:
        draining, _ = step(job(S.READY, ONE, TWO), ExecutionEnded(ONE, out_of_memory=True), NOW)
        assert draining.state is S.DRAINING
        retiring, actions = step(draining, ExecutionEnded(TWO), NOW)
        assert (retiring.state, actions) == (S.RETIRING, (CloseWorker(ADDRESS),))


@pytest.mark.parametrize("state", [S.RETIRING, S.LEFT])
def test_a_job_that_does_not_end_when_its_worker_has_left_is_cancelled(state: JobState) -> None:
    leaving = job(state, since=NOW)
    assert step(leaving, Polled(RUNNING, NOW), NOW + LEAVING_SECONDS)[1] == ()
    after, actions = step(leaving, Polled(RUNNING, NOW), NOW + LEAVING_SECONDS + 1)
    assert (after.state, [type(action) for action in actions]) == (S.CANCELLING, [CancelJob])


def test_a_job_without_an_id_is_not_cancelled() -> None:
    arrived = job(S.ARRIVED)
    after, actions = step(arrived, Polled(FAILED, NOW), NOW)
    assert (dataclasses.replace(after, polled_at=0.0), actions) == (arrived, ())


def test_what_starts_counts() -> None:
    ready, _ = step(job(S.READY), ExecutionStarted(ONE, HINT), NOW)
    assert (ready.given, ready.free_cpu, dict(ready.executions)) == (1, 7, {ONE: HINT})

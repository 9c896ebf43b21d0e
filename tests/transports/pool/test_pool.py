"""A pool from the first submission to the last end: its events and its actions."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.batch.pool.job_events import (
    CancelAnswered,
    Connected,
    Disconnected,
    Found,
    NotFound,
    Polled,
    Quiet,
    Submitted,
)
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.pool import (
    CANCEL_SECONDS,
    EXPLAIN_SECONDS,
    IN_DOUBT_SECONDS,
    Pool,
)
from climate_ref_prefect.transports.batch.pool.pool_actions import (
    CancelJob,
    CloseWorker,
    PoolAction,
    ReportEnd,
    StartExecution,
    StopExecution,
    SubmitJob,
    Warn,
)
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    JobRefusedError,
    SchedulerSilentError,
    SubmissionInDoubtError,
    SubmissionLimitError,
    UnreadAnswerError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.transports.pool.making import (
    ADDRESS,
    CANCELLED,
    FAILED,
    HEADROOM_MB,
    NEVER,
    NODE_FAIL,
    NOW,
    OTHER_ADDRESS,
    OTHER_SIZE,
    PENDING,
    RUNNING,
    execution,
    outcome,
)

Action = TypeVar("Action")


class PoolDriver:
    """A pool, its time, and its actions since they were last taken."""

    def __init__(self, starts_at_once: int = 1000, **rules: Any) -> None:
        self.now = NOW
        self.names = 0
        limits = Limits(PoolLimits(**{"max_jobs": 4, "idle_seconds": 5, **rules}), HEADROOM_MB, starts_at_once)
        self.state = Pool("SLURM", limits, self._new_name)
        self.asked: list[PoolAction] = []

    def _new_name(self, size: JobSize) -> str:
        self.names += 1
        return f"job-{self.names}"

    def hear(self, actions: Iterable[PoolAction]) -> None:
        self.asked += actions

    def pass_time(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.hear(self.state.arrange(self.now))

    def take(self, *executions: Execution) -> None:
        for one in executions:
            self.hear(self.state.take(one))
        self.pass_time()

    def on(self, name: str, event: Any) -> None:
        self.hear(self.state.on(name, event, self.now))
        self.pass_time()

    def poll(self, name: str, record: JobRecord) -> None:
        self.on(name, Polled(record, self.now))

    def fail(self, name: str, error: Exception) -> None:
        self.hear(self.state.not_submitted(name, error, self.now))
        self.pass_time()

    def start(self, name: str, number: str = "7", address: str = ADDRESS) -> None:
        self.on(name, Submitted(number))
        self.on(name, Connected(address))

    def took(self, kind: type[Action]) -> list[Action]:
        """Return what was asked for of this kind, and forget it."""
        found: list[Action] = [action for action in self.asked if isinstance(action, kind)]
        self.asked = [action for action in self.asked if not isinstance(action, kind)]
        return found

    def job(self, name: str) -> Job:
        return next(job for job in self.state.jobs if job.name == name)

    def ends(self) -> dict[Path, tuple[FailureKind | None, str]]:
        """Return how executions have ended, by their directories; and forget it."""
        found: dict[Path, tuple[FailureKind | None, str]] = {}
        for end in self.took(ReportEnd):
            failure = end.outcome.failure if end.outcome else None
            told = end.cause or failure
            found[end.submission.directory] = (told.kind, told.message) if told else (None, "")
        return found


@pytest.fixture
def running() -> tuple[PoolDriver, Execution]:
    """Return a pool with one execution that runs in one job."""
    pool, one = PoolDriver(), execution()
    pool.take(one)
    pool.start("job-1")
    assert pool.took(StartExecution) == [StartExecution(ADDRESS, one.directory)]
    pool.asked.clear()
    return pool, one


def test_an_execution_from_its_submission_to_its_end() -> None:
    pool, one = PoolDriver(), execution()
    pool.take(one)
    assert pool.asked == [SubmitJob("job-1", one.size)]
    pool.start("job-1")
    assert pool.asked[1:] == [StartExecution(ADDRESS, one.directory)]
    pool.hear(pool.state.answered(one.directory, outcome(), pool.now))
    (end,) = pool.took(ReportEnd)
    assert (end.submission, end.outcome, end.cause, end.started) == (one.submission, outcome(), None, True)
    assert (end.meta["job_id"], end.meta["queue_wait_seconds"]) == ("7", 0.0)
    pool.pass_time(5)
    assert pool.took(CloseWorker) == [CloseWorker(ADDRESS)]
    pool.on("job-1", Disconnected(ADDRESS))
    pool.poll("job-1", FAILED)
    assert not pool.state.jobs


def test_it_is_accepted_once_and_its_end_is_reported_once(running: tuple[PoolDriver, Execution]) -> None:
    pool, one = running
    pool.take(one)
    for _ in range(2):
        pool.hear(pool.state.answered(one.directory, outcome(), pool.now))
    pool.hear(pool.state.worker_lost(one.directory, ADDRESS, pool.now))
    assert list(pool.ends()) == [one.directory]


def test_more_starts_than_are_made_at_once_go_on_with_the_job_whose_turn_it_is() -> None:
    pool = PoolDriver(starts_at_once=1)
    pool.take(execution(cpu=8), execution(cpu=8), execution(cpu=8))
    for number in ("1", "2", "3"):
        pool.on(f"job-{number}", Submitted(number))
    for number in ("1", "2", "3"):
        pool.hear(pool.state.on(f"job-{number}", Connected(f"tcp://{number}"), pool.now))
    assert not pool.state.has_more_to_start
    started: list[list[str]] = []
    while not started or pool.state.has_more_to_start:
        pool.pass_time()
        started += [[start.address for start in pool.took(StartExecution)]]
    assert started == [["tcp://1"], ["tcp://2"], ["tcp://3"], []]


class TestCancelling:
    """An execution that is not wanted any more."""

    def test_one_that_waits_ends_at_once(self) -> None:
        pool, one = PoolDriver(), execution()
        pool.take(one)
        pool.hear(pool.state.cancel(one.directory, pool.now))
        assert pool.ends() == {one.directory: (FailureKind.CANCELLED, "Cancelled before it had started.")}

    def test_one_that_runs_is_stopped_by_its_worker(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        for _ in range(2):
            pool.hear(pool.state.cancel(one.directory, pool.now))
        assert pool.asked == [StopExecution(ADDRESS, one.directory)]

    def test_one_that_ignores_its_cancellation_ends_with_its_job(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.hear(pool.state.cancel(one.directory, pool.now))
        pool.pass_time(CANCEL_SECONDS)
        assert pool.took(CancelJob) == []
        pool.pass_time(1)
        assert pool.took(CancelJob) == [CancelJob("job-1", "7")]
        pool.pass_time(1)
        assert pool.took(CancelJob) == []
        pool.poll("job-1", CANCELLED)
        ((kind, message),) = pool.ends().values()
        assert kind is FailureKind.CANCELLED
        assert "CANCELLED by 1000" in message

    def test_one_whose_worker_is_lost_ends_with_its_job(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.on("job-1", Disconnected(ADDRESS))
        pool.hear(pool.state.cancel(one.directory, pool.now))
        assert pool.took(CancelJob) == [CancelJob("job-1", "7")]

    def test_one_that_is_not_known_is_ignored(self) -> None:
        assert PoolDriver().state.cancel(Path("/nowhere"), NOW) == []


class TestLostWorkers:
    """The connection to a worker is gone."""

    def test_the_future_of_an_execution_may_end_first(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.hear(pool.state.worker_lost(one.directory, ADDRESS, pool.now))
        assert [job.name for job in pool.state.jobs_to_follow()] == ["job-1"]

    def test_the_late_news_of_a_worker_is_none_of_the_one_that_has_come_after_it(
        self, running: tuple[PoolDriver, Execution]
    ) -> None:
        pool, one = running
        pool.on("job-1", Connected(OTHER_ADDRESS))
        pool.hear(pool.state.worker_lost(one.directory, ADDRESS, pool.now))
        assert pool.job("job-1").state is JobState.RESTARTED

    def test_its_outcome_is_found_in_its_directory(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.on("job-1", Disconnected(ADDRESS))
        pool.hear(pool.state.ended(one.directory, outcome(), pool.now))
        assert pool.ends() == {one.directory: (None, "")}
        assert pool.state.jobs_to_follow() == []

    def test_the_scheduler_gives_the_reason(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.on("job-1", Disconnected(ADDRESS))
        pool.poll("job-1", FAILED)
        assert pool.ends() == {
            one.directory: (FailureKind.WORKER_LOST, "SLURM job 7 ended on node1 before the execution did: FAILED.")
        }

    def test_a_node_that_failed_may_go_on_until_its_executions_are_quiet(
        self, running: tuple[PoolDriver, Execution]
    ) -> None:
        pool, one = running
        pool.poll("job-1", NODE_FAIL)
        assert pool.ends() == {}
        pool.on("job-1", Quiet())
        assert set(pool.ends()) == {one.directory}

    def test_a_job_that_starts_again_takes_nothing_before_what_it_ran_has_ended(
        self, running: tuple[PoolDriver, Execution]
    ) -> None:
        pool, _one = running
        pool.on("job-1", Disconnected(ADDRESS))
        pool.on("job-1", Connected(OTHER_ADDRESS))
        second = execution()
        pool.take(second)
        assert pool.took(StartExecution) == []
        pool.on("job-1", Quiet())
        assert pool.took(StartExecution) == [StartExecution(OTHER_ADDRESS, second.directory)]
        ((kind, message),) = pool.ends().values()
        assert kind is FailureKind.WORKER_LOST
        assert "started job 7 again" in message

    def test_the_outcome_of_a_lost_worker_waits_for_a_better_explanation(
        self, running: tuple[PoolDriver, Execution]
    ) -> None:
        pool, one = running
        told = outcome(FailureKind.WORKER_LOST)
        pool.hear(pool.state.answered(one.directory, told, pool.now))
        pool.pass_time(EXPLAIN_SECONDS)
        assert pool.took(ReportEnd) == []
        pool.pass_time(1)
        assert [end.outcome for end in pool.took(ReportEnd)] == [told]

    def test_which_the_end_of_its_job_is(self, running: tuple[PoolDriver, Execution]) -> None:
        pool, one = running
        pool.hear(pool.state.answered(one.directory, outcome(FailureKind.WORKER_LOST), pool.now))
        pool.poll("job-1", CANCELLED)
        pool.pass_time(EXPLAIN_SECONDS + 1)
        assert [end.outcome for end in pool.took(ReportEnd)] == [None]


class TestSubmissions:
    """Jobs that are not taken."""

    def test_a_refusal_ends_what_waits_for_that_size_and_nothing_else(self) -> None:
        pool, one, other = PoolDriver(), execution(), execution(size=OTHER_SIZE)
        pool.take(one, other)
        pool.fail("job-1", JobRefusedError("Invalid qos specification"))
        message = f"SLURM refused a job of {one.size.label}: Invalid qos specification"
        assert pool.ends() == {one.directory: (FailureKind.SUBMISSION_REFUSED, message)}
        later = execution()
        pool.take(later)
        assert pool.ends() == {later.directory: (FailureKind.SUBMISSION_REFUSED, message)}
        assert [submit.size for submit in pool.took(SubmitJob)] == [one.size, OTHER_SIZE]

    @pytest.mark.parametrize("error", [SchedulerSilentError("standby"), SubmissionLimitError("MaxSubmitJobs")])
    def test_one_that_is_not_accepted_now_is_submitted_later_and_reported_once(self, error: Exception) -> None:
        pool = PoolDriver()
        pool.take(execution())
        pool.fail("job-1", error)
        assert [warning.words for warning in pool.took(Warn)] == [
            f"SLURM accepts no job now: {error} The next submission follows in 2 s."
        ]
        assert len(pool.took(SubmitJob)) == 1
        pool.pass_time(2)
        assert pool.took(SubmitJob) == [SubmitJob("job-2", execution().size)]
        pool.fail("job-2", error)
        assert pool.took(Warn) == []

    def test_a_scheduler_that_accepts_no_job_for_too_long_ends_the_waiting_executions(self) -> None:
        pool, one = PoolDriver(scheduler_patience=timedelta(seconds=10)), execution()
        pool.take(one)
        for _ in range(5):
            pool.fail(f"job-{pool.names}", SchedulerSilentError("It is away."))
            pool.pass_time(60)
        assert pool.ends() == {one.directory: (FailureKind.UNAVAILABLE, "SLURM did not accept a job: It is away.")}

    def test_one_that_may_have_been_taken_is_looked_for_before_the_next_is_submitted(self) -> None:
        pool = PoolDriver()
        pool.take(execution())
        pool.fail("job-1", SubmissionInDoubtError("timed out"))
        pool.pass_time(100)
        assert len(pool.took(SubmitJob)) == 1
        assert pool.state.jobs_to_find() == ["job-1"]
        pool.on("job-1", Found("7"))
        pool.on("job-1", Connected(ADDRESS))
        assert len(pool.took(StartExecution)) == 1
        assert pool.state.jobs_to_find() == []

    @pytest.mark.parametrize("max_jobs", [1, 4])
    def test_a_scheduler_that_neither_answers_submissions_nor_tells_of_its_jobs_ends_what_waits(
        self, max_jobs: int
    ) -> None:
        pool, one = PoolDriver(max_jobs=max_jobs, scheduler_patience=timedelta(hours=1)), execution()
        pool.take(one)
        for _ in range(15):
            if pool.took(SubmitJob):
                pool.fail(f"job-{pool.names}", SubmissionInDoubtError("timed out"))
            pool.pass_time(IN_DOUBT_SECONDS + 1)
        assert pool.ends() == {one.directory: (FailureKind.UNAVAILABLE, "SLURM did not accept a job: timed out")}
        assert len(pool.state.jobs_to_find()) == pool.names

    def test_an_error_that_says_nothing_of_the_job_leaves_it_in_doubt(self) -> None:
        pool = PoolDriver()
        pool.take(execution())
        pool.fail("job-1", OSError("the pipe is broken"))
        assert pool.state.jobs_to_find() == ["job-1"]

    def test_two_failures_long_after_each_other_are_not_in_a_row(self) -> None:
        pool, one = PoolDriver(scheduler_patience=timedelta(minutes=10)), execution()
        pool.take(one)
        pool.fail("job-1", SchedulerSilentError("It is away."))
        pool.hear(pool.state.cancel(one.directory, pool.now))
        pool.took(ReportEnd)
        pool.pass_time(7200)
        pool.take(execution())
        pool.fail("job-2", SchedulerSilentError("It is away."))
        assert pool.ends() == {}

    def test_one_that_shows_after_another_was_submitted_in_its_place_is_withdrawn(self) -> None:
        pool = PoolDriver(max_jobs=1)
        pool.take(execution())
        pool.fail("job-1", SubmissionInDoubtError("timed out"))
        pool.on("job-1", NotFound())
        pool.pass_time(2)
        assert [submit.name for submit in pool.took(SubmitJob)] == ["job-1", "job-2"]
        pool.on("job-2", Submitted("8"))
        pool.on("job-1", Found("7"))
        (cancel,) = pool.took(CancelJob)
        assert cancel.job_id in ("7", "8")

    def test_three_answers_without_an_id_are_enough_where_no_job_is_found(self) -> None:
        pool, one = PoolDriver(), execution()
        pool.take(one)
        for _ in range(3):
            pool.fail(f"job-{pool.names}", UnreadAnswerError("welcome"))
            pool.on(f"job-{pool.names}", NotFound())
            pool.pass_time(60)
        assert pool.ends() == {one.directory: (FailureKind.UNAVAILABLE, "SLURM did not accept a job: welcome")}

    def test_a_submission_of_a_job_that_is_not_known_is_ignored(self) -> None:
        assert PoolDriver().state.not_submitted("job-9", SchedulerSilentError("away"), NOW) == []


class TestStarts:
    """Jobs that end before they run anything."""

    def fail_starts(self, pool: PoolDriver, record: JobRecord, number: int) -> None:
        for _ in range(number):
            name = f"job-{pool.names}"
            pool.on(name, Submitted("7"))
            pool.poll(name, record)
            pool.pass_time(60)

    def test_three_that_fail_by_themselves_end_what_waits(self) -> None:
        pool, one = PoolDriver(), execution()
        pool.take(one)
        self.fail_starts(pool, FAILED, 3)
        ((kind, message),) = pool.ends().values()
        assert kind is FailureKind.UNAVAILABLE
        assert message.startswith("3 SLURM jobs of 8c-1.1G-1h in a row ended before running anything.")
        assert len(pool.took(Warn)) == 3

    def test_a_power_cut_with_all_jobs_starting_gives_up_nothing(self) -> None:
        pool = PoolDriver()
        pool.take(*(execution(cpu=8) for _ in range(4)))
        for number in range(1, 5):
            pool.on(f"job-{number}", Submitted(str(number)))
        for number in range(1, 5):
            pool.poll(f"job-{number}", NODE_FAIL)
        assert pool.ends() == {}
        pool.pass_time(2)
        assert pool.took(SubmitJob)[-1].name == "job-5"

    def test_jobs_that_are_withdrawn_by_hand_after_hours_in_the_queue_give_up_nothing(self) -> None:
        pool = PoolDriver()
        pool.take(execution())
        for _ in range(3):
            pool.on(f"job-{pool.names}", Submitted("7"))
            pool.pass_time(3 * 3600)
            pool.poll(f"job-{pool.names}", CANCELLED)
            pool.pass_time(60)
        assert pool.ends() == {}

    def test_one_that_runs_something_makes_up_for_those_before(self) -> None:
        pool = PoolDriver()
        pool.take(execution())
        self.fail_starts(pool, FAILED, 2)
        pool.start(f"job-{pool.names}")
        pool.on(f"job-{pool.names}", Disconnected(ADDRESS))
        pool.poll(f"job-{pool.names}", FAILED)
        pool.ends()
        pool.take(execution())
        self.fail_starts(pool, FAILED, 2)
        assert pool.ends() == {}

    def test_jobs_that_start_too_slowly_end_what_waits(self) -> None:
        pool, one = PoolDriver(), execution(seconds=3599)
        pool.take(one)
        for number in range(1, 4):
            pool.on(f"job-{number}", Submitted(str(number)))
            pool.on(f"job-{number}", Connected(ADDRESS, age_seconds=100))
            pool.on(f"job-{number}", Disconnected(ADDRESS))
        ((kind, message),) = pool.ends().values()
        assert kind is FailureKind.UNAVAILABLE
        assert "longer to start than `walltime_margin` allows" in message

    def test_no_job_is_submitted_of_a_size_that_has_just_been_given_up(self) -> None:
        pool = PoolDriver()
        pool.take(execution(seconds=3599))
        for number in range(1, 4):
            pool.on(f"job-{number}", Submitted(str(number)))
            pool.on(f"job-{number}", Connected(ADDRESS, age_seconds=100))
        assert pool.names == 3


class TestQueue:
    """Jobs that wait."""

    def test_one_that_will_never_start_ends_what_waits_for_it(self) -> None:
        pool, one = PoolDriver(), execution()
        pool.take(one)
        pool.on("job-1", Submitted("7"))
        pool.poll("job-1", NEVER)
        ((kind, message),) = pool.ends().values()
        assert kind is FailureKind.SUBMISSION_REFUSED
        assert message == "SLURM will never start job 7 of 8c-1.1G-1h: PENDING (PartitionConfig)"
        assert pool.took(CancelJob) == [CancelJob("job-1", "7")]

    def test_one_that_waits_for_long_is_reported_once(self) -> None:
        pool = PoolDriver(pending_report=timedelta(minutes=2))
        pool.take(execution())
        pool.on("job-1", Submitted("7"))
        for _ in range(6):
            pool.pass_time(59)
            pool.poll("job-1", PENDING)
        assert [warning.words for warning in pool.took(Warn)] == [
            "SLURM job 7 (8c-1.1G-1h) has waited for 3 min: PENDING (Priority)"
        ]

    def test_an_execution_that_waits_for_too_long_is_given_up(self) -> None:
        pool = PoolDriver(pending_limit=timedelta(seconds=60))
        one, later = execution(submitted_at=NOW), execution(submitted_at=NOW + 30)
        pool.take(one, later)
        pool.on("job-1", Submitted("7"))
        pool.poll("job-1", PENDING)
        pool.pass_time(61)
        assert pool.ends() == {
            one.directory: (
                FailureKind.UNAVAILABLE,
                "SLURM had no job for it within 0:01:00. job 7: PENDING (Priority)",
            )
        }


def test_a_worker_of_an_unknown_job_is_asked_to_exit() -> None:
    pool = PoolDriver()
    pool.on("another", Connected(ADDRESS))
    pool.on("another", Disconnected(ADDRESS))
    assert pool.asked == [CloseWorker(ADDRESS)]


def test_a_failed_request_to_cancel_is_repeated(running: tuple[PoolDriver, Execution]) -> None:
    pool, one = running
    pool.on("job-1", Disconnected(ADDRESS))
    pool.hear(pool.state.ended(one.directory, outcome(), pool.now))
    pool.poll("job-1", RUNNING)
    assert len(pool.took(CancelJob)) == 1
    pool.on("job-1", CancelAnswered("timed out"))
    pool.pass_time(10)
    pool.poll("job-1", RUNNING)
    assert len(pool.took(CancelJob)) == 1


def test_executions_of_a_job_run_side_by_side_as_far_as_there_is_room() -> None:
    pool = PoolDriver(max_jobs=1)
    large, small = execution(cpu=8), execution()
    pool.take(execution(cpu=2), large, small)
    pool.start("job-1")
    assert [start.directory for start in pool.took(StartExecution)][1:] == [small.directory]
    assert pool.job("job-1").state is JobState.READY

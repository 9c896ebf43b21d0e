"""The driver: each execution is submitted once, its end is settled, and waiting callers get its outcome."""

import itertools
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Self

import pytest

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, Telemetry
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import kind_of, message_of
from climate_ref_prefect.transports.doctor_finding import Finding
from climate_ref_prefect.transports.port import Ended, Submission, SubmissionError, Termination, Traits, Transport
from climate_ref_prefect.transports.transport_driver import TransportClosedError, TransportDriver, TransportInUseError

TIMEOUT_SECONDS = 60.0
SUCCESS = ExecutionOutcome(execution_id=0)
CLAIMED = ExecutionOutcome(
    execution_id=0, failure=ExecutionFailure(kind=FailureKind.ALREADY_CLAIMED, message="Another has it.")
)
FULL = SubmissionError("the queue is full", transient=True)
FORBIDDEN = SubmissionError("account unknown", transient=False)


class Scripted:
    """A transport that gives the answers of a script."""

    name = "scripted"
    limits = WorkerLimits()
    slots = 4
    traits = Traits()

    def __init__(self) -> None:
        self.refusals: Iterator[Exception] = iter(())
        self.outcome: ExecutionOutcome | None = SUCCESS
        self.death: Termination | None = None
        self.ends_at_once = True
        self.outcome_patience_seconds = 0.0
        self.submitted: list[Path] = []
        self.closed = 0
        self.on_submit: Callable[[], object] = lambda: None
        self.on_close: Callable[[], object] = lambda: None
        self._news: queue.SimpleQueue[Ended | Exception] = queue.SimpleQueue()

    def check(self, resources: ResourceHint) -> ResourceHint:
        return resources

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        self.submitted.append(directory)
        for refusal in self.refusals:
            raise refusal
        submission = Submission(transport=self.name, directory=directory)
        if self.ends_at_once:
            self.end(submission)
        self.on_submit()
        return submission

    def end(self, submission: Submission) -> None:
        self._news.put(Ended(submission=submission, outcome=self.outcome))

    def break_down(self, error: Exception) -> None:
        self._news.put(error)

    def wait(self, timeout_seconds: float) -> Sequence[Ended]:
        try:
            news = self._news.get(timeout=timeout_seconds)
        except queue.Empty:
            return []
        if isinstance(news, Exception):
            raise news
        return [news]

    def new_starts(self) -> Sequence[Path]:
        return ()

    def cancel(self, submission: Submission) -> None:
        self.end(submission)

    def explain(self, submission: Submission) -> Termination | None:
        return self.death

    def is_over(self, directory: Path) -> bool | None:
        return None

    def close(self, timeout_seconds: float) -> None:
        self.on_close()
        self.closed += 1

    def unopened(self) -> Self:
        return type(self)()

    def open(self, owner: str) -> None: ...

    def take_servers(self, servers: ServerPool) -> None:
        servers.close()

    def render(self, resources: ResourceHint) -> str:
        return ""

    def examine(self, providers: object, scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        yield from ()


class Rig:
    """A driver of a scripted transport."""

    def __init__(self) -> None:
        self.transport = Scripted()
        self.driver = TransportDriver(self.transport)
        self._threads = ThreadPoolExecutor()

    def start(self, directory: Path, resources: ResourceHint) -> Future[ExecutionOutcome]:
        return self._threads.submit(self.driver.run, directory, resources)

    def run(self, directory: Path, resources: ResourceHint) -> ExecutionOutcome:
        return self.start(directory, resources).result(TIMEOUT_SECONDS)

    def start_some(self, prepare: Prepare, number: int) -> list[Future[ExecutionOutcome]]:
        """Start executions that do not end, and wait until all are submitted."""
        self.transport.ends_at_once = False
        futures = [self.start(*prepare()) for _ in range(number)]
        wait_until(lambda: len(self.transport.submitted) == number)
        return futures

    def close(self) -> None:
        self.driver.close(1.0)
        self._threads.shutdown()


def interrupted_at(moment: int, call: Callable[[], None]) -> bool:
    """
    Call something and interrupt it at its n-th moment, that of what it calls included; return whether it had so many.

    Python handles signals where a function begins and after a call of a function in C, where a profiler is called too.
    """
    moments = itertools.count(1)

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        if event in {"call", "c_return"} and next(moments) == moment:
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(interrupt)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


@pytest.fixture
def rig() -> Iterator[Rig]:
    """An open rig."""
    rig = Rig()
    yield rig
    rig.close()


def test_the_scripted_transport_is_one() -> None:
    transport: Transport = Scripted()
    assert isinstance(transport, Transport)


class TestSubmission:
    """A backend may refuse for now, or for good."""

    def test_a_refusal_for_now_leaves_the_execution_to_the_next_solve(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.refusals = iter([FULL])
        outcome = rig.run(*prepare())
        assert kind_of(outcome) is FailureKind.UNAVAILABLE
        assert message_of(outcome) == "the queue is full"
        assert len(rig.transport.submitted) == 1

    def test_a_refusal_for_good_becomes_the_outcome_at_once(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.refusals = iter([FORBIDDEN])
        directory, resources = prepare()
        outcome = rig.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SUBMISSION_REFUSED
        assert message_of(outcome) == "account unknown"
        assert outcome.execution_id == ExecutionDirectory(directory).read_envelope().execution_id
        assert rig.transport.submitted == [directory]

    def test_a_refusal_leaves_the_others_alone(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.refusals = iter([FORBIDDEN])
        assert not rig.run(*prepare()).succeeded
        assert rig.run(*prepare()).succeeded

    def test_another_error_of_the_backend_is_raised(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.refusals = iter([OSError("no such command: sbatch")])
        with pytest.raises(OSError, match="sbatch"):
            rig.run(*prepare())
        assert rig.run(*prepare()).succeeded

    def test_what_ends_before_its_submission_has_returned_is_not_lost(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.on_submit = lambda: wait_until(rig.transport._news.empty)
        assert rig.run(*prepare()).succeeded

    def test_two_simultaneous_deliveries_are_submitted_once_and_get_the_same_outcome(
        self, rig: Rig, prepare: Prepare
    ) -> None:
        directory, resources = prepare()
        rig.transport.ends_at_once = False
        first, second = (rig.driver.submit(directory, resources) for _ in range(2))
        rig.transport.end(Submission(transport="scripted", directory=directory))
        assert first.result(TIMEOUT_SECONDS) == second.result(TIMEOUT_SECONDS)
        assert rig.transport.submitted == [directory]

    def test_both_of_two_deliveries_get_the_refusal(self, rig: Rig, prepare: Prepare) -> None:
        execution = prepare()
        second: list[Future[Ended]] = []

        def refuse() -> Iterator[Exception]:
            second.append(rig.driver.submit(*execution))
            yield FORBIDDEN

        rig.transport.refusals = refuse()
        assert kind_of(rig.run(*execution)) is FailureKind.SUBMISSION_REFUSED
        assert second[0].exception(TIMEOUT_SECONDS) is FORBIDDEN


class TestSettling:
    """What an end means, where the backend does not bring the outcome."""

    def test_the_outcome_that_the_backend_returns_counts(self, rig: Rig, prepare: Prepare) -> None:
        directory, resources = prepare()
        outcome = rig.run(directory, resources)
        assert outcome.succeeded
        assert outcome.execution_id == ExecutionDirectory(directory).read_envelope().execution_id

    @pytest.mark.parametrize("brought", [None, CLAIMED])
    def test_the_file_counts_where_none_or_a_second_delivery_is_brought(
        self, rig: Rig, prepare: Prepare, brought: ExecutionOutcome | None
    ) -> None:
        directory, resources = prepare()
        left = ExecutionOutcome(
            execution_id=ExecutionDirectory(directory).read_envelope().execution_id, telemetry=Telemetry(host="node7")
        )
        ExecutionDirectory(directory).write_outcome(left)
        rig.transport.outcome = brought
        assert rig.run(directory, resources) == left

    def test_a_file_that_shows_late_is_waited_for(self, rig: Rig, prepare: Prepare) -> None:
        directory, resources = prepare()
        rig.transport.outcome = None
        rig.transport.outcome_patience_seconds = TIMEOUT_SECONDS
        future = rig.start(directory, resources)
        wait_until(lambda: rig.transport.submitted and rig.transport._news.empty())
        ExecutionDirectory(directory).write_outcome(SUCCESS)
        assert future.result(TIMEOUT_SECONDS).succeeded

    def test_closing_does_not_wait_for_late_files(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.outcome = None
        rig.transport.outcome_patience_seconds = 5 * TIMEOUT_SECONDS
        future = rig.start(*prepare())
        wait_until(lambda: rig.transport.submitted and rig.transport._news.empty())
        rig.driver.close(1.0)
        assert kind_of(future.result(TIMEOUT_SECONDS)) is FailureKind.WORKER_LOST

    def test_a_second_delivery_without_a_file_stays_one(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.outcome = CLAIMED
        assert kind_of(rig.run(*prepare())) is FailureKind.ALREADY_CLAIMED

    def test_without_any_outcome_or_explanation_the_worker_is_lost(self, rig: Rig, prepare: Prepare) -> None:
        rig.transport.outcome = None
        assert kind_of(rig.run(*prepare())) is FailureKind.WORKER_LOST

    @pytest.mark.parametrize(("peak_mb", "kind"), [(250.0, FailureKind.OUT_OF_MEMORY), (20.0, FailureKind.KILLED)])
    def test_a_kill_is_for_lack_of_memory_if_the_last_telemetry_was_close_to_the_limit(
        self, rig: Rig, prepare: Prepare, peak_mb: float, kind: FailureKind
    ) -> None:
        directory, resources = prepare(memory_mb=256)
        ExecutionDirectory(directory).write_telemetry(Telemetry(sequence=3, host="node7", peak_rss_mb=peak_mb))
        rig.transport.outcome = None
        rig.transport.death = Termination(kind=FailureKind.KILLED, message="exit code 137", meta={"job_id": 12})
        outcome = rig.run(directory, resources)
        assert kind_of(outcome) is kind
        assert "exit code 137" in message_of(outcome)
        assert outcome.telemetry.host == "node7"
        assert outcome.telemetry.transport_meta == {"job_id": 12}

    @pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY, FailureKind.WORKER_LOST])
    def test_the_backends_explanation_is_the_outcome_in_its_own_words(
        self, rig: Rig, prepare: Prepare, kind: FailureKind
    ) -> None:
        rig.transport.outcome = None
        rig.transport.death = Termination(kind=kind, message="slurmstepd: said something")
        outcome = rig.run(*prepare())
        assert kind_of(outcome) is kind
        assert message_of(outcome) == "slurmstepd: said something"

    def test_torn_telemetry_of_a_dead_node_is_passed_over(self, rig: Rig, prepare: Prepare) -> None:
        directory, resources = prepare()
        (directory / "telemetry.json").write_text('{"schema_ver')
        rig.transport.outcome = None
        assert kind_of(rig.run(directory, resources)) is FailureKind.WORKER_LOST

    def test_an_outcome_file_of_another_version_is_a_mismatch(self, rig: Rig, prepare: Prepare) -> None:
        directory, resources = prepare()
        (directory / "outcome.json").write_text('{"schema_version": 2}')
        rig.transport.outcome = None
        outcome = rig.run(directory, resources)
        assert kind_of(outcome) is FailureKind.SCHEMA_MISMATCH
        assert outcome.execution_id == ExecutionDirectory(directory).read_envelope().execution_id

    def test_a_torn_outcome_file_is_a_system_error(self, rig: Rig, prepare: Prepare) -> None:
        directory, resources = prepare()
        (directory / "outcome.json").write_text('{"schema_ver')
        rig.transport.outcome = None
        assert kind_of(rig.run(directory, resources)) is FailureKind.SYSTEM_ERROR

    def test_an_end_without_a_waiting_caller_is_ignored(self, rig: Rig, prepare: Prepare, tmp_path: Path) -> None:
        rig.transport.end(Submission(transport="scripted", directory=tmp_path / "unknown"))
        assert rig.run(*prepare()).succeeded


class TestBreakdown:
    """The backend cannot tell any more what has ended."""

    def test_all_waiting_callers_get_the_error(self, rig: Rig, prepare: Prepare) -> None:
        futures = rig.start_some(prepare, 3)
        error = ConnectionError("the scheduler has gone")
        rig.transport.break_down(error)
        assert [future.exception(TIMEOUT_SECONDS) for future in futures] == [error] * 3

    def test_later_submissions_are_refused_with_the_reason(self, rig: Rig, prepare: Prepare) -> None:
        (waiting,) = rig.start_some(prepare, 1)
        error = ConnectionError("the scheduler has gone")
        rig.transport.break_down(error)
        waiting.exception(TIMEOUT_SECONDS)
        with pytest.raises(TransportClosedError) as refused:
            rig.run(*prepare())
        assert refused.value.__cause__ is error


class TestStopping:
    """Closing reaches everyone."""

    def test_closing_releases_waiting_callers(self, rig: Rig, prepare: Prepare) -> None:
        futures = rig.start_some(prepare, 3)
        rig.driver.close(1.0)
        for future in futures:
            assert isinstance(future.exception(TIMEOUT_SECONDS), TransportClosedError)
        assert rig.transport.closed == 1

    def test_an_interrupt_takes_effect_once_it_is_closed(self, rig: Rig, prepare: Prepare) -> None:
        (future,) = rig.start_some(prepare, 1)
        heard, main_thread = threading.Event(), threading.get_ident()

        def interrupt(number: int, frame: FrameType | None) -> None:
            heard.set()
            raise KeyboardInterrupt

        def interrupt_the_caller() -> None:
            signal.pthread_kill(main_thread, signal.SIGINT)
            assert heard.wait(TIMEOUT_SECONDS)

        before = signal.signal(signal.SIGINT, interrupt)
        rig.transport.on_close = interrupt_the_caller
        try:
            with pytest.raises(KeyboardInterrupt):
                rig.driver.close(1.0)
        finally:
            signal.signal(signal.SIGINT, before)
        assert isinstance(future.exception(TIMEOUT_SECONDS), TransportClosedError)
        for _ in range(2):
            rig.driver.close(1.0)
        assert rig.transport.closed == 1

    def test_after_an_interrupt_at_any_moment_it_can_be_closed(self, prepare: Prepare) -> None:
        for moment in itertools.count(1):
            rig = Rig()
            (future,) = rig.start_some(prepare, 1)
            interrupted = interrupted_at(moment, partial(rig.driver.close, 1.0))
            closing = threading.Thread(target=rig.close, daemon=True)
            closing.start()
            closing.join(TIMEOUT_SECONDS)
            assert not closing.is_alive(), f"It waits for ever after an interrupt at moment {moment}."
            assert isinstance(future.exception(TIMEOUT_SECONDS), TransportClosedError)
            assert rig.transport.closed == 1
            if not interrupted:
                break

    def test_what_has_failed_to_close_is_closed_by_the_next_call(self, rig: Rig, prepare: Prepare) -> None:
        (future,) = rig.start_some(prepare, 1)
        errors = iter([OSError("the scheduler does not answer")])

        def fail_once() -> None:
            for error in errors:
                raise error

        rig.transport.on_close = fail_once
        with pytest.raises(OSError, match="does not answer"):
            rig.driver.close(1.0)
        assert isinstance(future.exception(TIMEOUT_SECONDS), TransportClosedError)
        rig.driver.close(1.0)
        assert rig.transport.closed == 1

    def test_a_closed_driver_takes_nothing(self, rig: Rig, prepare: Prepare) -> None:
        rig.driver.close(1.0)
        with pytest.raises(TransportClosedError):
            rig.run(*prepare())
        assert rig.transport.submitted == []

    def test_closing_waits_for_a_submission_under_way(self, rig: Rig, prepare: Prepare) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def linger() -> None:
            begun.set()
            go_on.wait(TIMEOUT_SECONDS)

        rig.transport.ends_at_once = False
        rig.transport.on_submit = linger
        future = rig.start(*prepare())
        begun.wait(TIMEOUT_SECONDS)
        closing = threading.Thread(target=rig.driver.close, args=(1.0,))
        closing.start()
        assert rig.transport.closed == 0
        go_on.set()
        closing.join(TIMEOUT_SECONDS)
        assert rig.transport.closed == 1
        assert isinstance(future.exception(TIMEOUT_SECONDS), TransportClosedError)


class TestSharing:
    """One transport object, two drivers."""

    def test_a_second_driver_is_refused_with_a_message_and_the_first_goes_on(self, prepare: Prepare) -> None:
        transport = Scripted()
        one, other = TransportDriver(transport), TransportDriver(transport)
        first, second = prepare("noop"), prepare("noop")
        assert one.run(*first).failure is None
        with pytest.raises(TransportInUseError, match="'scripted' is open for another flow"):
            other.run(*second)
        other.close(0)
        assert transport.closed == 0
        assert one.run(*second).failure is None
        one.close(0)
        assert transport.closed == 1

    def test_one_after_another(self, prepare: Prepare) -> None:
        transport = Scripted()
        for _ in range(2):
            driver = TransportDriver(transport)
            assert driver.run(*prepare("noop")).failure is None
            driver.close(0)

    def test_equal_settings_are_not_the_same_transport(self, prepare: Prepare) -> None:
        drivers = [TransportDriver(Scripted()) for _ in range(2)]
        assert [driver.run(*prepare("noop")).failure for driver in drivers] == [None, None]
        for driver in drivers:
            driver.close(0)

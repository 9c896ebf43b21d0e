"""
The contract of recorders: what every recorder must do.

A test module for a recorder has a subclass of `RecorderContract`, of `BundleContract` if it records the bundles of this
package, and of `ReadingContract` if it can be read as the store can, with a fixture `recorder` that gives one without
any executions. Everything goes through the port.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.store.errors import CoordinatorBusyError, LeaseLostError, ResultRefusedError
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    AttemptCounts,
    ExecutionStatus,
    Recorder,
    Writer,
    address_of,
)
from climate_ref_prefect.store.reading_port import ExecutionReader, HistoryReader
from climate_ref_prefect.testing.recorders.example_values import (
    HINT,
    SCALARS,
    allocate,
    counts_of,
    definition,
    failure,
    holder,
    leave_results,
    result,
    success,
)

UNKNOWN = 999_999
"""Number of an execution that no recorder of the suite has."""
KEYS = ("", "..", "/etc/passwd", "a b", "ä é", "x" * 400, "'; --")
"""Keys that are no names of files."""
WRITES: Mapping[str, Callable[[Writer, FinishedExecution], object]] = {
    "allocate": lambda writer, _: writer.allocate([Allocation(definition=definition("x"), resources=HINT, attempt=1)]),
    "mark_dispatched": lambda writer, done: writer.mark_dispatched(done.execution_id, HINT, "local"),
    "ingest": lambda writer, done: writer.ingest(done, None),
    "finalise": lambda writer, done: writer.finalise(done.execution_id, success()),
}


class RecorderContract:
    """The port: subclass it, give a fixture `recorder`, and implement `lose_lease` and `recorded_scalars`."""

    def lose_lease(self, recorder: Recorder) -> None:
        """Have another coordinator take over from the one that coordinates on a recorder."""
        raise NotImplementedError

    def recorded_scalars(self, recorder: Recorder, execution_id: int) -> Mapping[str, float | None]:
        """Return the numbers that are recorded of an execution, by their dimension `statistic`."""
        raise NotImplementedError

    def finish(self, scratch: Path, allocated: AllocatedExecution) -> FinishedExecution:
        """Leave what a worker leaves of a success; override it for a recorder of results of another format."""
        return leave_results(scratch, allocated, result())

    @pytest.fixture
    def writer(self, recorder: Recorder) -> Iterator[Writer]:
        """Coordinate on the recorder."""
        with recorder.coordinate(holder()) as writer:
            yield writer

    @pytest.fixture
    def finished(self, writer: Writer, tmp_path: Path) -> FinishedExecution:
        """Give an execution that has succeeded and is recorded as dispatched."""
        allocated = allocate(writer)
        writer.mark_dispatched(allocated.execution_id, HINT, "local")
        return self.finish(tmp_path / "scratch", allocated)

    def test_it_has_the_methods_of_the_port(self, recorder: Recorder, writer: Writer) -> None:
        assert isinstance(recorder, Recorder)
        assert isinstance(writer, Writer)
        assert recorder.name

    def test_a_batch_is_allocated_in_its_order_and_each_attempt_has_a_fragment_of_its_own(self, writer: Writer) -> None:
        keys = ["b", "a", "c", "a"]
        batch = [Allocation(definition=definition(key), resources=HINT, attempt=1) for key in keys]
        allocated = writer.allocate(batch)
        assert [one.definition.key for one in allocated] == keys
        assert len({one.fragment for one in allocated}) == len(keys)

    def test_an_empty_batch_allocates_nothing(self, recorder: Recorder, writer: Writer) -> None:
        assert not writer.allocate([])
        assert not recorder.unfinished()

    @pytest.mark.parametrize("key", KEYS)
    def test_any_key_gives_a_directory_below_scratch(self, writer: Writer, tmp_path: Path, key: str) -> None:
        allocated = allocate(writer, key)
        directory = tmp_path / allocated.fragment
        assert directory.resolve().is_relative_to(tmp_path)
        directory.mkdir(parents=True)

    def test_what_is_allocated_is_unfinished_until_it_is_finalised(self, recorder: Recorder, writer: Writer) -> None:
        first, second = allocate(writer, "first"), allocate(writer, "second")
        assert [one.execution_id for one in recorder.unfinished()] == [first.execution_id, second.execution_id]
        assert [one.fragment for one in recorder.unfinished()] == [first.fragment, second.fragment]
        assert [one.label for one in recorder.unfinished()] == ["suite/mean/first", "suite/mean/second"]
        writer.finalise(first.execution_id, failure())
        assert [one.execution_id for one in recorder.unfinished()] == [second.execution_id]

    def test_what_is_dispatched_says_where_and_with_what(self, recorder: Recorder, writer: Writer) -> None:
        given = ResourceHint(memory_mb=9000, cpu=4)
        writer.mark_dispatched(allocate(writer).execution_id, given, "somewhere")
        (found,) = recorder.unfinished()
        assert (found.status, found.transport, found.resources) == (ExecutionStatus.DISPATCHED, "somewhere", given)

    def test_what_is_finalised_stays_so(self, recorder: Recorder, writer: Writer) -> None:
        number = allocate(writer).execution_id
        writer.finalise(number, failure())
        writer.mark_dispatched(number, HINT, "local")
        writer.finalise(number, success())
        assert not recorder.unfinished()
        assert counts_of(recorder) == AttemptCounts(attempts=1, counted=1)

    def test_attempts_are_counted_on_the_same_inputs_alone(self, recorder: Recorder, writer: Writer) -> None:
        assert counts_of(recorder) == AttemptCounts()
        first = allocate(writer)
        assert counts_of(recorder) == AttemptCounts()
        writer.finalise(first.execution_id, failure())
        again = Allocation(definition=definition(), resources=HINT, attempt=2, replaces=first.execution_id)
        (second,) = writer.allocate([again])
        writer.finalise(second.execution_id, failure(FailureKind.WORKER_LOST, counted=False))
        assert counts_of(recorder) == AttemptCounts(attempts=2, counted=1, lost=1)
        assert counts_of(recorder, fingerprint="changed") == AttemptCounts()
        assert counts_of(recorder, key="another") == AttemptCounts()

    def test_a_payload_alone_may_be_what_is_run(self, recorder: Recorder, writer: Writer) -> None:
        one, other = (
            definition().model_copy(update={"datasets": (), "payload": {"number": number}}) for number in (1, 2)
        )
        (allocated,) = writer.allocate([Allocation(definition=one, resources=HINT, attempt=1)])
        writer.finalise(allocated.execution_id, failure())
        assert recorder.attempt_counts([one])[address_of(one)] == AttemptCounts(attempts=1, counted=1)
        assert recorder.attempt_counts([other])[address_of(other)] == AttemptCounts()

    def test_publishing_twice_leaves_the_same(self, writer: Writer, finished: FinishedExecution) -> None:
        published = writer.publish(finished)
        assert writer.publish(finished) == published
        for record in finished.outcome.manifest:
            content = (finished.output / record.path).read_bytes()
            assert published is None or (published / record.path).read_bytes() == content

    def test_a_file_that_has_changed_is_not_published(self, writer: Writer, finished: FinishedExecution) -> None:
        (finished.output / "values.txt").write_text("another\n", encoding="utf-8")
        kind, published = None, None
        try:
            published = writer.publish(finished)
        except ResultRefusedError as refused:
            kind = refused.kind
        assert published is None
        assert kind in (None, FailureKind.INVALID_RESULT)

    def test_many_threads_publish_at_once(self, writer: Writer, tmp_path: Path) -> None:
        batch = [Allocation(definition=definition(f"k{number}"), resources=HINT, attempt=1) for number in range(12)]
        done = [self.finish(tmp_path / "scratch", allocated) for allocated in writer.allocate(batch)]
        with ThreadPoolExecutor(4) as pool:
            published = list(pool.map(writer.publish, done))
        assert len(set(published)) in (1, len(done))  # none of them, or each in a place of its own

    def test_values_are_recorded_once(self, recorder: Recorder, writer: Writer, finished: FinishedExecution) -> None:
        published = writer.publish(finished)
        for _ in range(2):
            assert not writer.ingest(finished, published)
            assert self.recorded_scalars(recorder, finished.execution_id) == SCALARS
        writer.finalise(finished.execution_id, success(published))
        assert self.recorded_scalars(recorder, finished.execution_id) == SCALARS
        assert counts_of(recorder) == AttemptCounts(attempts=1, counted=1)

    def test_an_execution_that_does_not_exist_is_refused(self, writer: Writer, finished: FinishedExecution) -> None:
        envelope = finished.envelope.model_copy(update={"execution_id": UNKNOWN})
        unknown = finished.model_copy(update={"envelope": envelope})
        for name, write in WRITES.items():
            if name != "allocate":
                with pytest.raises(ClimateRefPrefectError):
                    write(writer, unknown)

    def test_one_coordinates_at_a_time(self, recorder: Recorder) -> None:
        with recorder.coordinate(holder()), pytest.raises(CoordinatorBusyError), recorder.coordinate(holder(pid=1)):
            pass
        with recorder.coordinate(holder()) as writer:
            allocate(writer)

    def test_who_does_not_coordinate_any_more_writes_nothing(self, recorder: Recorder) -> None:
        with recorder.coordinate(holder()) as writer:
            allocate(writer)
        with pytest.raises(ClimateRefPrefectError):
            allocate(writer)
        with pytest.raises(ClimateRefPrefectError):
            writer.confirm_lease()
        assert len(recorder.unfinished()) == 1

    @pytest.mark.parametrize("name", WRITES)
    def test_a_replaced_coordinator_writes_nothing(
        self, recorder: Recorder, writer: Writer, finished: FinishedExecution, name: str
    ) -> None:
        writer.confirm_lease()
        writer.raise_if_lease_lost()
        before = recorder.unfinished()
        self.lose_lease(recorder)
        with pytest.raises(LeaseLostError):
            WRITES[name](writer, finished)
        with pytest.raises(LeaseLostError):
            writer.confirm_lease()
        with pytest.raises(LeaseLostError):
            writer.raise_if_lease_lost()
        assert recorder.unfinished() == before
        assert not self.recorded_scalars(recorder, finished.execution_id)


class BundleContract(RecorderContract):
    """More for a recorder of the bundles of this package, which it holds against a strict vocabulary."""

    def test_a_value_outside_the_vocabulary_is_refused(
        self, recorder: Recorder, writer: Writer, tmp_path: Path
    ) -> None:
        finished = leave_results(tmp_path / "scratch", allocate(writer), result(dimension="unheard-of"))
        published = writer.publish(finished)
        with pytest.raises(ResultRefusedError, match="unheard-of") as refused:
            writer.ingest(finished, published)
        assert refused.value.kind is FailureKind.VOCABULARY_MISMATCH
        assert not self.recorded_scalars(recorder, finished.execution_id)

    def test_values_that_the_worker_did_not_leave_are_not_recorded(
        self, recorder: Recorder, writer: Writer, finished: FinishedExecution
    ) -> None:
        bundle = finished.output / METRIC_BUNDLE
        bundle.write_text(bundle.read_text(encoding="utf-8").replace("1.5", "2.5"), encoding="utf-8")
        with pytest.raises(ResultRefusedError, match="not the file that the worker left") as refused:
            writer.ingest(finished, writer.publish(finished))
        assert refused.value.kind is FailureKind.INVALID_RESULT
        assert not self.recorded_scalars(recorder, finished.execution_id)

    def test_an_output_that_is_gone_may_come_from_another_run(
        self, writer: Writer, finished: FinishedExecution
    ) -> None:
        shutil.rmtree(finished.output)
        with pytest.raises(ResultRefusedError) as refused:
            writer.ingest(finished, writer.publish(finished))
        assert refused.value.kind is FailureKind.PUBLISH_FAILED

    def test_what_is_no_bundle_is_refused(self, writer: Writer, finished: FinishedExecution) -> None:
        published = writer.publish(finished)
        ((published or finished.output) / METRIC_BUNDLE).write_text("{}", encoding="utf-8")
        with pytest.raises(ResultRefusedError) as refused:
            writer.ingest(finished, published)
        assert refused.value.kind is FailureKind.INVALID_RESULT


class ReadingContract:
    """More for a recorder that planning and people can read: give a fixture `reader` on the same recorder."""

    def test_a_group_is_dirty_until_nothing_is_left_to_try(self, writer: Writer, reader: HistoryReader) -> None:
        about = definition()
        assert reader.histories([about])[address_of(about)].dirty
        writer.finalise(allocate(writer).execution_id, failure())
        assert reader.histories([about])[address_of(about)].dirty
        writer.finalise(allocate(writer).execution_id, failure(FailureKind.DIAGNOSTIC_ERROR, retryable=False))
        history = reader.histories([about])[address_of(about)]
        assert (history.dirty, history.succeeded, history.last_retryable) == (False, False, False)
        assert history.last_failure is FailureKind.DIAGNOSTIC_ERROR
        writer.finalise(allocate(writer).execution_id, success())
        history = reader.histories([about])[address_of(about)]
        assert (history.dirty, history.succeeded, history.attempts, history.last_asked) == (False, True, 3, HINT)

    def test_people_see_what_came_of_executions(self, writer: Writer, reader: ExecutionReader, tmp_path: Path) -> None:
        first, second = allocate(writer, "first"), allocate(writer, "second")
        finished = leave_results(tmp_path / "scratch", first, result())
        writer.ingest(finished, writer.publish(finished))
        writer.finalise(first.execution_id, success())
        rows = reader.executions()
        assert [row.key for row in rows] == ["second", "first"]
        assert [row.key for row in reader.executions(newest_first=False, limit=1)] == ["first"]
        assert [row.key for row in reader.executions(unfinished_only=True)] == ["second"]
        assert [row.key for row in reader.executions(execution_ids=[first.execution_id, UNKNOWN])] == ["first"]
        assert (rows[1].successful, rows[1].duration_seconds, rows[1].peak_rss_mb) == (True, 3.5, 100.5)
        assert rows[1].telemetry_meta is not None
        assert rows[1].telemetry_meta["host"] == "node1"
        assert (rows[0].successful, rows[0].status) == (None, ExecutionStatus.ALLOCATED)
        counts = reader.counts()
        assert (counts.successful, counts.unfinished, counts.groups, counts.dirty_groups) == (1, 1, 2, 1)
        numbers = [first.execution_id, second.execution_id]
        assert [row.filename for row in reader.outputs(numbers)] == ["values.txt"]
        assert [row.values for row in reader.series(numbers)] == [(0.5, None)]
        assert {row.dimensions["statistic"]: row.value for row in reader.scalars(numbers)} == SCALARS

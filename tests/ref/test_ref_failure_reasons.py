"""REF's database says of each failure what the table says, and whether REF runs it again."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from sqlalchemy import Engine, event, text, update

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, Telemetry
from climate_ref_prefect.ref import attempt_rows, upstream
from climate_ref_prefect.ref.attempt_rows import AttemptHistory
from climate_ref_prefect.ref.failure_reasons import FAILURE_REASONS, RefFailureReason
from climate_ref_prefect.ref.tables import attempts
from climate_ref_prefect.store.errors import ResultRefusedError, SchemaError
from climate_ref_prefect.store.port import Finalisation
from climate_ref_prefect.testing.recorders.example_values import allocate, holder, success
from tests.ref.ref_database import RecorderAfterRef, RefSolve, leave_ref_results, ref_config


@pytest.fixture
def recorder(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecorderAfterRef]:
    monkeypatch.setenv("REF_CONFIGURATION", str(tmp_path))
    (tmp_path / "db").mkdir()
    shutil.copyfile(empty_database, tmp_path / "db" / "climate_ref.db")
    recorder = RecorderAfterRef(RefSolve(ref_config(tmp_path)))
    yield recorder
    recorder.database.close()
    recorder.solve.database.close()


def ended_by(kind: FailureKind, *, dirty: bool, another_follows: bool = False, started_at: float = 1.0) -> Finalisation:
    return Finalisation(
        successful=False,
        retryable=dirty,
        counted=FAILURE_RULES[kind].counts,
        failure=ExecutionFailure(kind=kind, message=f"it failed by {kind}"),
        telemetry=Telemetry(started_at=started_at, duration_seconds=2.5, peak_rss_mb=10, memory_source="pss"),
        clears_dirty=not dirty,
        results_path=None,
        another_follows=another_follows,
    )


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("dirty", [True, False], ids=["to be run again", "given up"])
def test_a_failure_has_refs_reason_and_the_kind_in_its_log(
    recorder: RecorderAfterRef, kind: FailureKind, *, dirty: bool
) -> None:
    with recorder.coordinate(holder()) as writer:
        allocated = allocate(writer)
        writer.finalise(allocated.execution_id, ended_by(kind, dirty=dirty))
    assert recorder.solve.row(allocated.execution_id) == (False, FAILURE_REASONS[kind].value, dirty)
    assert allocated.output_directory is not None
    fragment = allocated.output_directory.relative_to(Path(recorder.solve.config.paths.scratch).resolve())
    log = recorder.solve.config.paths.results / fragment / "out.log"
    shown = Text.from_markup(log.read_text(encoding="utf-8")).plain  # as `ref executions inspect` does
    assert f"({FAILURE_REASONS[kind]}): {kind}: it failed by {kind} (attempt 1)" in shown
    assert not recorder.submitted()


def test_ref_knows_each_reason() -> None:
    assert set(RefFailureReason) <= {reason.value for reason in upstream.ExecutionFailureReason}


def test_a_retry_keeps_the_row_which_is_in_progress_until_the_last_attempt(recorder: RecorderAfterRef) -> None:
    with recorder.coordinate(holder()) as writer:
        allocated = allocate(writer)
        number = allocated.execution_id
        writer.finalise(number, ended_by(FailureKind.OUT_OF_MEMORY, dirty=True, another_follows=True))
        assert recorder.solve.row(number) == (None, None, True)
        assert recorder.submitted() == (number,)


def test_what_somebody_marks_as_failed_by_hand_stays_so_unless_it_succeeds(
    recorder: RecorderAfterRef, tmp_path: Path
) -> None:
    with recorder.coordinate(holder()) as writer:
        for key in ("fails", "succeeds"):
            allocated = allocate(writer, key)
            with recorder.solve.database.session.begin():
                row = recorder.solve.database.session.get(upstream.Execution, allocated.execution_id)
                row.mark_failed(upstream.ExecutionFailureReason.Cancelled)
            if key == "fails":
                writer.finalise(allocated.execution_id, ended_by(FailureKind.DIAGNOSTIC_ERROR, dirty=False))
                assert recorder.solve.row(allocated.execution_id) == (False, "cancelled", True)
            else:
                finished = leave_ref_results(tmp_path / "scratch", allocated)
                writer.publish(finished)
                writer.ingest(finished, None)
                writer.finalise(allocated.execution_id, success())
                assert recorder.solve.row(allocated.execution_id) == (True, None, False)


def test_a_group_that_somebody_deletes_stops_no_solve(recorder: RecorderAfterRef, tmp_path: Path) -> None:
    with recorder.coordinate(holder()) as writer:
        fails, succeeds = (allocate(writer, key) for key in ("fails", "succeeds"))
        finished = leave_ref_results(tmp_path / "scratch", succeeds)
        session = recorder.solve.database.session
        with session.begin():
            for allocated in (fails, succeeds):
                session.delete(session.get(upstream.Execution, allocated.execution_id))
        writer.finalise(fails.execution_id, ended_by(FailureKind.CRASHED, dirty=True))
        with pytest.raises(ResultRefusedError, match="its group was deleted"):
            writer.ingest(finished, None)
        writer.finalise(succeeds.execution_id, success())
    assert not recorder.unfinished()
    assert not recorder.submitted()


@pytest.mark.parametrize("reason", ["Abandoned", "NotStarted"])
def test_executions_that_refs_reaper_took_are_restored(recorder: RecorderAfterRef, reason: str) -> None:
    with recorder.coordinate(holder()) as writer:
        alive, by_hand = (allocate(writer, key).execution_id for key in ("alive", "by hand"))
        with recorder.solve.database.session.begin():
            session = recorder.solve.database.session
            session.get(upstream.Execution, alive).mark_failed(getattr(upstream.ExecutionFailureReason, reason))
            session.get(upstream.Execution, by_hand).mark_failed(upstream.ExecutionFailureReason.Cancelled)
        assert writer.restore_reaped() == (alive,)
    assert recorder.solve.row(alive)[:2] == (None, None)
    assert recorder.solve.row(by_hand)[:2] == (False, "cancelled")


def test_what_was_made_and_never_tried_is_not_started_and_what_was_tried_is_abandoned(
    recorder: RecorderAfterRef,
) -> None:
    with recorder.coordinate(holder()) as writer:
        tried = allocate(writer, "tried").execution_id
        under_way = allocate(writer, "under way").execution_id
        writer.finalise(tried, ended_by(FailureKind.CRASHED, dirty=True, another_follows=True))
        made, _ = recorder.solve.make_execution(allocate(writer, "another").definition)
        assert set(writer.abandon_unstarted(None, "its solve was killed")) == {tried, made}
    assert recorder.solve.row(tried) == (False, "abandoned", True)
    assert recorder.solve.row(made) == (False, "not_started", True)
    assert recorder.solve.row(under_way)[:2] == (None, None)


def test_what_an_abandoned_execution_has_logged_is_kept_where_ref_shows_it(recorder: RecorderAfterRef) -> None:
    with recorder.coordinate(holder()) as writer:
        tried = allocate(writer)
        assert tried.output_directory is not None
        tried.output_directory.mkdir(parents=True)
        (tried.output_directory / "out.log").write_text("as far as it got\n", encoding="utf-8")
        writer.finalise(tried.execution_id, ended_by(FailureKind.CRASHED, dirty=True, another_follows=True))
        writer.abandon_unstarted(None, "its solve was killed")
    fragment = tried.output_directory.relative_to(Path(recorder.solve.config.paths.scratch).resolve())
    log = (recorder.solve.config.paths.results / fragment / "out.log").read_text(encoding="utf-8")
    assert log.startswith("as far as it got\n")
    assert "(abandoned): its solve was killed" in log


def test_thousands_of_executions_are_restored_without_a_statement_that_is_too_large(recorder: RecorderAfterRef) -> None:
    sizes: list[int] = []

    def note(*arguments: Any) -> None:
        parameters, is_executemany = arguments[3], arguments[5]
        sizes.append(0 if is_executemany else len(parameters))

    with recorder.coordinate(holder()) as writer:
        number = allocate(writer).execution_id
        session = recorder.solve.database.session
        with session.begin():
            attempt_rows.mark_submitted(session, range(number + 1, number + 1_000))
            session.get(upstream.Execution, number).mark_failed(upstream.ExecutionFailureReason.Abandoned)
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert writer.restore_reaped() == (number,)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert max(sizes) < 999


def test_a_group_that_is_made_again_inherits_no_attempts(recorder: RecorderAfterRef) -> None:
    session = recorder.solve.database.session
    with recorder.coordinate(holder()) as writer:
        first = allocate(writer)
        writer.finalise(first.execution_id, ended_by(FailureKind.OUT_OF_MEMORY, dirty=True))
        (history,) = recorder.attempt_histories([first.definition]).values()
        assert (history.counts.counted, history.last_given) == (1, first.resources)
        assert history.last_failure is FailureKind.OUT_OF_MEMORY
        with session.begin():
            row = session.get(upstream.Execution, first.execution_id)
            group = row.execution_group
            group.created_at -= timedelta(seconds=1)  # SQLite's clock has whole seconds
            session.execute(update(attempts).values(group_created_at=group.created_at))
        with session.begin():
            session.delete(row)
            session.delete(group)
        number, directory = recorder.solve.make_execution(first.definition)
        assert number == first.execution_id
        recorder.expect(first.definition, number, directory)
        (history,) = recorder.attempt_histories([first.definition]).values()
        assert history == AttemptHistory()
        writer.abandon_unstarted(None, "its solve was killed")
    assert recorder.solve.row(number) == (False, "not_started", True)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE climate_ref_prefect_lease SET schema_version = 99", "of version 99"),
        ("ALTER TABLE climate_ref_prefect_lease DROP COLUMN schema_version", "of no version"),
        ("DROP TABLE climate_ref_prefect_lease", "of no version"),
    ],
)
def test_tables_of_another_version_are_refused_in_words(recorder: RecorderAfterRef, statement: str, found: str) -> None:
    with recorder.coordinate(holder()):
        pass
    with recorder.solve.database.session.begin():
        recorder.solve.database.session.execute(text(statement))
    with pytest.raises(SchemaError, match=f"{found}, and this .* drop these tables"), recorder.coordinate(holder()):
        pass
    with pytest.raises(SchemaError, match=found):
        recorder.undo_reaping()


def test_who_asks_again_for_what_was_given_up_begins_a_new_series_of_attempts(recorder: RecorderAfterRef) -> None:
    with recorder.coordinate(holder()) as writer:
        first = allocate(writer)
        writer.finalise(first.execution_id, ended_by(FailureKind.CRASHED, dirty=True))
        again = allocate(writer)
        (counts,) = recorder.attempt_counts([again.definition]).values()
        assert counts.counted == 1
        writer.finalise(again.execution_id, ended_by(FailureKind.CRASHED, dirty=False))
        (counts,) = recorder.attempt_counts([again.definition]).values()
        assert counts.counted == 2
        recorder.expect(again.definition, *recorder.solve.make_execution(again.definition))
        (counts,) = recorder.attempt_counts([again.definition]).values()
        assert counts.counted == 0

"""`reingest`: what was refused and is mended now becomes a success; nothing that is recorded changes; nothing runs."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.lifecycle.reingest_execution import Reingested, ReingestOutcome
from climate_ref_prefect.flows.reingest import ReingestReport, reingest
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_workspace
from climate_ref_prefect.store.errors import CoordinatorBusyError
from tests.flows.temporary_site import AttemptRow, Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ATLANTIS = """
dimensions:
- {name: region, long_name: Region, values: [{name: atlantis}], allow_extra_values: false}
- {name: source_id, long_name: Model}
- {name: statistic, long_name: Statistic}
"""
VALUES = ("execution_output", "scalar_value", "series_value")


def again(*execution_ids: int, **options: Any) -> ReingestReport:
    state = reingest(list(execution_ids), return_state=True, **options)
    report = state.result()
    assert isinstance(report, ReingestReport)
    assert state.message == report.headline()
    return report


def only(report: ReingestReport) -> Reingested:
    (item,) = report.executions
    return item


def change(site: Site, *statements: str) -> None:
    """Corrupt recorded values in the database."""
    with closing(sqlite3.connect(site.home / "climate-ref-prefect.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def everything(site: Site) -> list[list[tuple[Any, ...]]]:
    """Return all that is recorded of executions and groups."""
    return [site.query(f"SELECT * FROM {table} ORDER BY id") for table in (*VALUES, "execution", "execution_group")]


def unpublish(site: Site, kind: FailureKind = FailureKind.PUBLISH_FAILED) -> None:
    """Have it look as if the only execution had not been published."""
    change(
        site,
        f"UPDATE execution SET successful = 0, retryable = 1, counted = 0, failure_kind = '{kind}', "
        "failure_message = 'OSError: no space left', results_path = NULL",
        "UPDATE execution_group SET dirty = 1",
        *(f"DELETE FROM {table}" for table in VALUES),
    )
    shutil.rmtree(site.home / "results" / only_attempt(site).fragment)


def only_attempt(site: Site) -> AttemptRow:
    (row,) = site.attempts()
    return row


def scratch_of(row: AttemptRow) -> ExecutionDirectory:
    return ExecutionDirectory(Settings().scratch_directory / row.fragment)


@pytest.fixture
def mended_vocabulary(tmp_path: Path) -> Path:
    """A vocabulary that has the region which no other has."""
    path = tmp_path / "vocabulary.yaml"
    path.write_text(ATLANTIS)
    return path


@pytest.fixture
def kept(site: Site) -> Site:
    """A site with one success whose files are still on scratch."""
    site.add_models("ModelA")
    site.configure(keep_scratch="all")
    site.solve("good")
    return site


class TestVocabulary:
    """Results outside the vocabulary, which has been extended since."""

    @pytest.mark.parametrize(("keep", "source"), [("failed", "scratch"), ("none", "results")])
    def test_they_become_a_success(self, site: Site, mended_vocabulary: Path, keep: str, source: str) -> None:
        site.add_models("ModelA", "ModelB")
        site.configure(keep_scratch=keep)
        site.solve("unlisted", "good")
        before = everything(site)
        refused = again()
        assert [item.outcome for item in refused.executions] == [ReingestOutcome.FAILED] * 2
        assert all("'atlantis' is not one of" in item.message for item in refused.executions)
        assert everything(site) == before

        site.configure(vocabulary=mended_vocabulary)
        mended = again()
        assert mended.ok
        assert [(item.was, item.outcome, item.source) for item in mended.executions] == [
            (FailureKind.VOCABULARY_MISMATCH, ReingestOutcome.MENDED, source)
        ] * 2
        site.assert_settled()
        assert site.dirty() == set()
        assert {(row.successful, row.failure_kind) for row in site.attempts()} == {(True, None)}
        with site.store() as store:
            rows = site.attempts("unlisted")
            assert len(store.scalars([row.execution_id for row in rows])) == 2
        assert not any(scratch_of(row).output.exists() for row in rows)
        assert len(site.runs()) == 4
        once = everything(site)
        assert [item.outcome for item in again(failed_only=False).executions] == [ReingestOutcome.UNCHANGED] * 4
        assert everything(site) == once
        assert site.solve("unlisted", "good").report.headline().startswith("All up to date")

    def test_where_it_is_not_strict_any_more_they_are_taken(self, site: Site) -> None:
        site.add_models("ModelA")
        site.solve("unlisted")
        site.configure(vocabulary_is_strict=False)
        assert only(again(1)).outcome is ReingestOutcome.MENDED
        assert only_attempt(site).successful


class TestUnpublished:
    """Results that could not be brought to the results directory, for which there is room now."""

    @pytest.mark.parametrize("kind", [FailureKind.PUBLISH_FAILED, FailureKind.INVALID_RESULT])
    def test_they_are_published_from_scratch(self, kept: Site, kind: FailureKind) -> None:
        before = everything(kept)
        unpublish(kept, kind)
        mended = only(again(kinds=[kind]))
        assert (mended.was, mended.outcome, mended.source) == (kind, ReingestOutcome.MENDED, "scratch")
        kept.assert_settled()
        assert everything(kept)[3:] == before[3:]
        assert [len(rows) for rows in everything(kept)] == [len(rows) for rows in before]
        assert kept.dirty() == set()

    def test_where_there_is_still_no_room_they_stay_as_they_are(self, kept: Site) -> None:
        unpublish(kept)
        before = everything(kept)
        place = kept.home / "results" / only_attempt(kept).fragment
        shutil.rmtree(place.parent)
        place.parent.touch()
        item = only(again())
        assert item.outcome is ReingestOutcome.FAILED
        assert place.parent.name in item.message
        assert everything(kept) == before
        place.parent.unlink()
        assert only(again()).outcome is ReingestOutcome.MENDED

    def test_missing_results_are_reported(self, kept: Site) -> None:
        unpublish(kept)
        shutil.rmtree(scratch_of(only_attempt(kept)).output)
        before = everything(kept)
        item = only(again())
        assert item.outcome is ReingestOutcome.MISSING
        assert str(scratch_of(only_attempt(kept)).output) in item.message
        assert str(kept.home / "results") in item.message
        assert everything(kept) == before

    @pytest.mark.parametrize("remains", ["torn outcome", "no scratch"])
    def test_published_results_do_without_scratch(self, kept: Site, remains: str) -> None:
        change(kept, "UPDATE execution SET successful = 0, retryable = 1, failure_kind = 'publish_failed'")
        files = scratch_of(only_attempt(kept))
        if remains == "no scratch":
            shutil.rmtree(files.path)
        else:
            (files.path / "outcome.json").write_text("{")
        assert (only(again()).outcome, only(again(1)).source) == (ReingestOutcome.MENDED, "results")

    def test_results_that_somebody_has_changed_are_refused(self, kept: Site) -> None:
        unpublish(kept)
        (scratch_of(only_attempt(kept)).output / METRIC_BUNDLE).write_text("{}")
        before = everything(kept)
        item = only(again())
        assert (item.outcome, METRIC_BUNDLE in item.message) == (ReingestOutcome.FAILED, True)
        assert everything(kept) == before
        assert not kept.published()


class TestSuccesses:
    """What is recorded of them stays; what is missing is added."""

    @pytest.mark.parametrize("table", VALUES)
    def test_missing_rows_are_added(self, kept: Site, table: str) -> None:
        before = everything(kept)
        change(kept, f"DELETE FROM {table}")
        assert only(again(1)).outcome is ReingestOutcome.COMPLETED
        assert [[row[1:] for row in rows] for rows in everything(kept)] == [
            [row[1:] for row in rows] for rows in before
        ]
        assert only(again(1)).outcome is ReingestOutcome.UNCHANGED

    def test_results_that_are_gone_are_published_again(self, kept: Site, tmp_path: Path) -> None:
        shutil.rmtree(kept.home / "results" / only_attempt(kept).fragment)
        assert only(again(1)).source == "scratch"
        kept.assert_settled()
        shutil.rmtree(kept.home / "results" / only_attempt(kept).fragment)
        kept.configure(results=tmp_path / "another disk")
        item = only(again(1))
        assert (item.outcome, item.message) == (ReingestOutcome.COMPLETED, "published again")
        kept.assert_settled()
        assert only_attempt(kept).results_path == str(tmp_path / "another disk" / only_attempt(kept).fragment)
        kept.configure(results=tmp_path / "a third")
        assert only(again(1)).outcome is ReingestOutcome.UNCHANGED
        assert not list((tmp_path / "a third").glob("*/*/*/*"))

    def test_a_value_that_differs_is_reported_and_stays(self, kept: Site) -> None:
        change(kept, "UPDATE scalar_value SET value = 17.5 WHERE id = 1", "DELETE FROM series_value")
        before = everything(kept)
        report = again(1)
        assert not report.ok
        assert only(report).outcome is ReingestOutcome.DIFFERENT
        assert "recorded as 17.5" in only(report).message
        assert everything(kept) == before


class TestRefusals:
    """What may not be ingested again, and why."""

    def test_what_a_later_attempt_has_superseded(self, site: Site) -> None:
        site.add_models("ModelA")
        site.solve("unlisted")
        site.solve("unlisted", rerun="failed")
        before = everything(site)
        item = only(again(1))
        assert (item.outcome, "superseded by the later attempt 2" in item.message) == (ReingestOutcome.REFUSED, True)
        assert everything(site) == before
        assert [item.execution_id for item in again().executions] == [2]

    def test_what_was_closed(self, kept: Site) -> None:
        unpublish(kept)
        scratch_of(only_attempt(kept)).close("its coordinator had ended")
        item = only(again())
        assert item.outcome is ReingestOutcome.REFUSED
        assert "it was closed: its coordinator had ended" in item.message

    def test_what_has_no_results(self, site: Site) -> None:
        site.add_models("ModelA")
        site.solve("own-error")
        assert "it failed by diagnostic_error" in only(again(1)).message
        change(site, "UPDATE execution SET failure_kind = 'invalid_result'")
        assert "its worker left no valid result (DiagnosticError: no such method)" in only(again()).message
        change(site, "UPDATE execution SET status = 'dispatched', successful = NULL, finished_at = NULL")
        assert "it has not ended" in only(again(1)).message

    @pytest.mark.parametrize(
        ("execution_ids", "options", "words"),
        [
            ([1, 98, 99], {}, "no execution 98, 99"),
            ([1], {"providers": ["flows"]}, "not both"),
            ([], {"kinds": [FailureKind.CRASHED]}, "invalid_result, vocabulary_mismatch, publish_failed"),
            ([], {"providers": ["floes"]}, "no recorded provider 'floes'. Valid: flows"),
            ([], {"diagnostics": ["bad"]}, "no recorded diagnostic 'bad'. Valid: good"),
        ],
    )
    def test_what_makes_no_sense(
        self, kept: Site, execution_ids: Sequence[int], options: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(BadInputError, match=words):
            again(*execution_ids, **options)

    def test_while_another_coordinator_works(self, kept: Site, other_coordinator: None) -> None:
        with pytest.raises(CoordinatorBusyError):
            again(1)

    @pytest.fixture
    def other_coordinator(self, kept: Site) -> Iterator[None]:
        """Somebody who has the right to coordinate."""
        with open_workspace(Settings(), coordinating=True):
            yield


def test_what_is_chosen_and_how_it_is_shown(site: Site, mended_vocabulary: Path) -> None:
    site.add_models("ModelA")
    site.solve("unlisted", "good", "own-error")
    both = {"flows/good/ModelA", "flows/unlisted/ModelA"}
    assert {item.label for item in again(failed_only=False).executions} == both
    assert not again(diagnostics=["good"]).executions
    assert again(diagnostics=["good"], failed_only=False).ok
    site.configure(vocabulary=mended_vocabulary)
    report = again(providers=["flows"], kinds=[FailureKind.VOCABULARY_MISMATCH])
    assert report.headline().startswith("1 mended; ")
    for words in ("vocabulary_mismatch", "mended", "scratch", "1 values and files recorded"):
        assert words in report._repr_html_()
    assert again().headline() == "No execution to ingest again."

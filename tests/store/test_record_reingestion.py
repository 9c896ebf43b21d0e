"""Results that are ingested again: what is missing is added, what is recorded stays, failures that are mended end."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.store.errors import NotReopenedError, UnknownExecutionError
from climate_ref_prefect.store.query_results import Reingestion
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.record_reingestion import MENDABLE
from climate_ref_prefect.store.sql.sql_store import Store
from tests.store.example_values import METRICS, OUTPUTS, SERIES, allocate, coordinated, definition, failure, success

ALL = 2 + 3 + 2
"""Files, numbers and series of the builders."""
Recorded = tuple[object, ...]


def reingest(store: Store, number: int, path: str = "/results/x", **other: Any) -> Reingestion:
    results: dict[str, Any] = {"outputs": OUTPUTS, "metrics": METRICS, "series": SERIES, **other}
    return store.reingest(number, results_path=path, **results)


def recorded(store: Store, number: int) -> Recorded:
    rows = store.outputs([number]), store.scalars([number]), store.series([number])
    return *rows, store.executions(execution_ids=[number]), store.counts()


def failed(store: Store, kind: FailureKind = FailureKind.VOCABULARY_MISMATCH, *, retryable: bool = False) -> int:
    number = allocate(store).execution_id
    store.finalise(number, failure(kind, retryable=retryable, counted=not retryable))
    return number


@pytest.mark.parametrize("kind", MENDABLE)
@pytest.mark.parametrize("retryable", [True, False])
def test_a_failure_becomes_a_success(store: Store, kind: FailureKind, retryable: bool) -> None:  # noqa: FBT001
    number = failed(store, kind, retryable=retryable)
    assert reingest(store, number) == Reingestion(added=ALL, mended=True, moved=True)
    (row,) = store.executions(execution_ids=[number])
    assert (row.successful, row.retryable, row.failure_kind, row.failure_message) == (True, False, None, None)
    assert row.results_path == "/results/x"
    history = store.histories([definition()])["demo", "mean", "CanESM5"]
    assert (history.succeeded, history.dirty, history.counted_attempts) == (True, False, 1)
    assert len(store.scalars([number])) == len(list(METRICS.scalars()))


def test_the_dirty_flag_that_a_user_has_set_since_stays(store: Store) -> None:
    number = failed(store, retryable=False)
    store.mark_dirty("demo")
    assert reingest(store, number).mended
    assert store.histories([definition()])["demo", "mean", "CanESM5"].dirty


def test_what_is_missing_of_a_success_is_added_and_nothing_else(store: Store) -> None:
    number = allocate(store).execution_id
    store.ingest(number, OutputBundle(data=OUTPUTS.data), METRICS, SERIES[:1])
    store.finalise(number, success("/results/before"))
    (before,) = store.executions(execution_ids=[number])
    assert reingest(store, number, "/results/before") == Reingestion(added=2, mended=False)
    assert store.executions(execution_ids=[number]) == (before,)
    assert [row.index_name for row in store.series([number])] == ["month", "year"]
    assert reingest(store, number, "/results/before") == Reingestion()
    assert reingest(store, number, "/elsewhere") == Reingestion(moved=True)
    (after,) = store.executions(execution_ids=[number])
    assert after == before.model_copy(update={"results_path": "/elsewhere"})


CHANGES: dict[str, dict[str, Any]] = {
    "a number": {"metrics": MetricBundle.from_scalars(("model", "region"), {("m", "land"): 1.25})},
    "a missing number that has a value": {"metrics": MetricBundle.from_scalars(("model",), {("m",): 0.0})},
    "a file": {"outputs": OutputBundle(plots={"map": OutputFile(filename="another.png")})},
    "a series": {"series": (SERIES[0].model_copy(update={"values": (0.5, 1.0)}), SERIES[1])},
    "units": {"series": (SERIES[0].model_copy(update={"attributes": {"units": "C"}}), SERIES[1])},
    "a number that is not there any more": {"metrics": MetricBundle.from_scalars(("model",), {("n",): 1.0})},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("successful", [True, False])
def test_a_differing_recorded_value_is_reported_and_stays(store: Store, change: str, successful: bool) -> None:  # noqa: FBT001
    number = allocate(store).execution_id
    store.ingest(number, OUTPUTS, METRICS, SERIES)
    store.finalise(number, success() if successful else failure(FailureKind.PUBLISH_FAILED))
    before = recorded(store, number)
    found = reingest(store, number, **CHANGES[change])
    assert (found.added, found.mended) == (0, False)
    assert any("recorded" in line for line in found.differing)
    assert recorded(store, number) == before


def test_many_differences_are_counted(store: Store) -> None:
    number = allocate(store).execution_id
    series = tuple(
        Series(dimensions={"model": f"m{item}"}, index_name="year", index=tuple(range(999)), values=(1.0,) * 999)
        for item in range(20)
    )
    store.ingest(number, OUTPUTS, METRICS, series)
    store.finalise(number, success())
    others = [one.model_copy(update={"values": (2.0,) * 999}) for one in series]
    differing = reingest(store, number, series=others).differing
    assert (len(differing), differing[-1]) == (6, "and 15 more")
    assert max(map(len, differing)) < 300


class TestRefusals:
    """What may not be ingested again."""

    @pytest.mark.parametrize("kind", sorted(set(FailureKind) - set(MENDABLE)))
    def test_what_failed_without_results(self, store: Store, kind: FailureKind) -> None:
        number = failed(store, kind)
        self.assert_refused(store, number, f"failed by {kind}")

    def test_what_has_not_ended(self, store: Store) -> None:
        self.assert_refused(store, allocate(store).execution_id, "has not ended; .*recover")

    @pytest.mark.parametrize("successful", [True, False])
    def test_what_a_later_attempt_has_superseded(self, store: Store, successful: bool) -> None:  # noqa: FBT001
        number = allocate(store).execution_id
        store.finalise(number, success() if successful else failure(FailureKind.PUBLISH_FAILED))
        later = [allocate(store, attempt=attempt).execution_id for attempt in (2, 3)]
        self.assert_refused(store, number, f"superseded by the later attempt {later[-1]}")

    def test_an_attempt_at_another_group_supersedes_nothing(self, store: Store) -> None:
        number = failed(store)
        allocate(store, definition("MIROC6"))
        assert reingest(store, number).mended

    def test_what_does_not_exist(self, store: Store) -> None:
        for call in (store.check_reingestion, lambda number: reingest(store, number)):
            with pytest.raises(UnknownExecutionError, match="17"):
                call(17)

    def assert_refused(self, store: Store, number: int, words: str) -> None:
        before = recorded(store, number)
        for call in (store.check_reingestion, lambda number: reingest(store, number)):
            with pytest.raises(NotReopenedError, match=words):
                call(number)
        assert recorded(store, number) == before


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
values = st.none() | st.floats(allow_nan=False, allow_infinity=False)
bundles = st.fixed_dictionaries(
    {
        "metrics": st.dictionaries(texts, values, max_size=5).map(
            lambda found: MetricBundle.from_scalars(("model",), {(name,): value for name, value in found.items()})
        ),
        "outputs": st.dictionaries(texts, texts, max_size=3).map(
            lambda found: OutputBundle(
                data={name: OutputFile(filename="a.nc", long_name=text) for name, text in found.items()}
            )
        ),
        "series": st.dictionaries(texts, st.lists(values, min_size=1, max_size=4), max_size=3).map(
            lambda found: tuple(
                Series(dimensions={"model": name}, index_name="n", index=tuple(range(len(line))), values=tuple(line))
                for name, line in found.items()
            )
        ),
    }
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(bundles, bundles)
def test_twice_is_as_once_and_other_values_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, results: dict[str, Any], others: dict[str, Any]
) -> None:
    with coordinated(sqlite_url(tmp_path_factory.mktemp("store") / "store.db")) as store:
        number = failed(store)
        assert reingest(store, number, **results).mended
        once = recorded(store, number)
        assert reingest(store, number, **results) == Reingestion()
        assert recorded(store, number) == once
        found = reingest(store, number, **others)
        assert not found.mended
        if found.differing:
            assert recorded(store, number) == once

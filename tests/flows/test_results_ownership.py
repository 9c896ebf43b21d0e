"""A results directory belongs to one store; another one is refused before anything runs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.flows.workspace.results_ownership import MARKER, check_results_owner, read_owner, take_results
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import Store
from tests.store.example_values import allocate, coordinated, success

FRAGMENT = "demo/mean/CanESM5/20250101T000000-0a1b2c3d"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty results directory."""
    directory = tmp_path / "results"
    directory.mkdir()
    return directory


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store without rows."""
    with coordinated(sqlite_url(tmp_path / "one" / "store.db")) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """Another one."""
    with coordinated(sqlite_url(tmp_path / "other" / "store.db")) as opened:
        yield opened


def publish(results: Path, store: Store | None = None) -> None:
    """Leave results as an execution does, recorded or not."""
    (results / FRAGMENT).mkdir(parents=True)
    (results / FRAGMENT / METRIC_BUNDLE).write_text("{}")
    if store is not None:
        store.finalise(allocate(store).execution_id, success(str(results / FRAGMENT)))


def test_an_empty_directory_is_taken_and_stays(results: Path, store: Store, other: Store) -> None:
    for _ in range(2):
        check_results_owner(results, store)
        owner = read_owner(results)
        assert owner is not None
        assert (owner.store_id, owner.database) == (store.identity(), store.name)
    with pytest.raises(BadInputError) as refused:
        check_results_owner(results, other)
    for words in (store.name, store.identity(), other.name, other.identity(), "CLIMATE_REF_PREFECT_RESULTS"):
        assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path.name for path in results.iterdir()] == [MARKER]


def test_what_has_nothing_to_do_with_results_is_no_obstacle(results: Path, store: Store) -> None:
    (results / "README").write_text("of somebody")
    (results / "plots" / "of" / "last" / "year").mkdir(parents=True)
    check_results_owner(results, store)


def test_results_of_a_version_without_markers_are_taken_by_who_has_recorded_them(
    results: Path, store: Store, other: Store
) -> None:
    publish(results, store)
    with pytest.raises(BadInputError, match=r"holds results that the store .*other/store\.db has not recorded"):
        check_results_owner(results, other)
    assert read_owner(results) is None
    check_results_owner(results, store)
    with pytest.raises(BadInputError, match="belongs to the store"):
        check_results_owner(results, other)


def test_results_that_were_recorded_elsewhere_do_not_count(results: Path, store: Store, tmp_path: Path) -> None:
    publish(tmp_path / "results-of-last-year", store)
    publish(results)
    with pytest.raises(BadInputError, match="db claim-results"):
        check_results_owner(results, store)


def test_a_directory_can_be_taken_over_on_purpose(results: Path, store: Store, other: Store) -> None:
    publish(results, store)
    check_results_owner(results, store)
    take_results(results, other)
    check_results_owner(results, other)
    with pytest.raises(BadInputError, match="belongs to the store"):
        check_results_owner(results, store)
    shutil.rmtree(results / "demo")
    take_results(results, store)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"", "cannot be read"),
        (b'{"schema_version": 1, "store', "cannot be read"),
        (json.dumps({"schema_version": 99}).encode(), "99"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"schema_version": 1, "store_id": 3}', "cannot be read"),
        (None, "Is a directory"),
    ],
)
def test_a_marker_that_cannot_be_read_is_refused_with_its_path(
    results: Path, store: Store, written: bytes | None, words: str
) -> None:
    path = results / MARKER
    if written is None:
        path.mkdir()
    else:
        path.write_bytes(written)
    with pytest.raises(BadInputError, match=words) as refused:
        check_results_owner(results, store)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    if written is None:
        with pytest.raises(BadInputError, match="cannot be marked"):
            take_results(results, store)
    else:
        take_results(results, store)
        check_results_owner(results, store)

"""`show`, `values` and `providers`: what a person sees of what was computed, and of what can be."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.flows.results.recorded_values import RecordedValue
from climate_ref_prefect.flows.results.value_formats import write_csv
from tests.flows.coordinator_processes import Run
from tests.flows.temporary_site import PROVIDER, Site

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def solved_once(tmp_path_factory: pytest.TempPathFactory, prefect_server: object) -> Iterator[Site]:
    """A site where something has succeeded, twice, and something has failed; to look at only."""
    with pytest.MonkeyPatch.context() as environment:
        site = Site(tmp_path_factory.mktemp("solved"), environment)
        site.add_models("ModelA", "ModelB")
        site.solve("good", "own-error")
        site.solve("good", rerun="all")
        yield site


@pytest.fixture
def solved(solved_once: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """That site, whose settings hold while the test runs."""
    monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(solved_once.home))
    return solved_once


class TestShow:
    """Overviews, from everything to one execution."""

    def test_everything_has_a_line_for_each_diagnostic(self, solved: Site, run: Run) -> None:
        shown = run("show")
        assert shown.code == 0
        lines = [line.split() for line in shown.output.splitlines()]
        assert ["flows/good", "2", "0", "4", "2"] in lines
        assert ["flows/own-error", "0", "2", "0", "0"] in lines

    def test_a_diagnostic_has_a_line_for_each_group(self, solved: Site, run: Run) -> None:
        for name in ("good", "flows/good"):
            output = run("show", name).output
            assert output.count("success") == 2
            assert "values.txt" in output

    def test_an_execution_has_its_paths_and_its_log(self, solved: Site, run: Run) -> None:
        *_, row = solved.attempts("good", "ModelA")
        output = run("show", str(row.execution_id)).output
        assert f"{row.results_path}/values.txt" in output.replace("\n", "")
        assert f"climate-ref-prefect log {row.execution_id}" in output
        assert run("show", f"#{row.execution_id}").output == output

    def test_a_failure_says_why_and_what_to_do(self, solved: Site, run: Run) -> None:
        row, *_ = solved.attempts("own-error")
        output = run("show", str(row.execution_id)).output
        for words in ("diagnostic_error", "no such method", "Read the log."):
            assert words in output

    @pytest.mark.parametrize(("name", "words"), [("99", "There is no execution 99"), ("god", "Is it 'good'?")])
    def test_what_does_not_exist_is_refused(self, solved: Site, run: Run, name: str, words: str) -> None:
        refused = run("show", name)
        assert (refused.code, words in refused.errors) == (2, True)

    @pytest.mark.parametrize("command", ["show", "values"])
    def test_where_nothing_was_run(self, site: Site, run: Run, command: str) -> None:
        refused = run(command)
        assert refused.code == 2
        assert "Nothing has been run" in refused.errors


class TestValues:
    """The numbers, for people and for programs."""

    def test_csv_has_a_column_for_each_dimension(self, solved: Site, run: Run) -> None:
        rows = list(csv.DictReader(run("values", "--format", "csv").output.splitlines()))
        assert {row["source_id"] for row in rows} == {"ModelA", "ModelB"}
        assert {row["statistic"] for row in rows} == {"mean", "trend"}
        assert all(float(row["value"]) for row in rows)

    def test_json_has_the_same_numbers_in_full(self, solved: Site, run: Run) -> None:
        as_json = json.loads(run("values", "--format", "json").output)
        as_csv = list(csv.DictReader(run("values", "--format", "csv").output.splitlines()))
        assert [one["value"] for one in as_json] == [float(one["value"]) for one in as_csv]
        assert as_json[0]["dimensions"].keys() == {"source_id", "statistic"}

    def test_they_are_chosen_by_facets(self, solved: Site, run: Run) -> None:
        chosen = ("--where", "source_id=ModelA", "--where", "statistic=mean", "--format", "json")
        (value,) = json.loads(run("values", "--diagnostic", "good", *chosen).output)
        assert value["dimensions"] == {"source_id": "ModelA", "statistic": "mean"}
        both = json.loads(run("values", *chosen, "--where", "source_id=ModelB").output)
        assert len(both) == 2

    def test_only_the_latest_success_of_a_group_counts(self, solved: Site, run: Run) -> None:
        recorded = json.loads(run("values", "--format", "json").output)
        first, *_, last = sorted(row.execution_id for row in solved.attempts("good", "ModelA"))
        assert {one["execution_id"] for one in recorded if one["key"] == "ModelA"} == {last} != {first}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--where", "source_id"), "is not of the form facet=value"),
            (("--where", "source=ModelA"), "Is it 'source_id'?"),
            (("--diagnostic", "best"), "There is no recorded diagnostic 'best'"),
        ],
    )
    def test_what_does_not_exist_is_refused(self, solved: Site, run: Run, options: tuple[str, ...], words: str) -> None:
        refused = run("values", *options)
        assert (refused.code, words in refused.errors) == (2, True)


def test_columns_of_csv_are_told_apart(tmp_path: Path) -> None:
    value = RecordedValue(
        provider="p",
        diagnostic="d",
        key="k",
        execution_id=1,
        dimensions={"value": "a", "key": "b", "model": "c"},
        value=2.5,
    )
    with (tmp_path / "values.csv").open("w+", newline="") as file:
        write_csv([value], file)
        file.seek(0)
        (row,) = csv.DictReader(file)
    assert (row["key"], row["value"]) == ("k", "2.5")
    assert (row["dimension.key"], row["dimension.value"], row["model"]) == ("b", "a", "c")


def test_the_table_of_values_is_for_people(solved: Site, run: Run) -> None:
    output = run("values", "--where", "source_id=ModelA").output
    assert "flows/good" in output
    assert "ModelB" not in output


class TestProviders:
    """What is installed."""

    def test_the_installed_ones_with_their_hints(self, run: Run) -> None:
        shown = run("providers")
        assert shown.code == 0
        for words in ("demo/annual-cycle", "wall clock", "1 providers with"):
            assert words in shown.output

    def test_one_by_its_module(self, run: Run) -> None:
        assert "flows/good" in run("providers", PROVIDER).output

    def test_one_that_cannot_be_imported_is_named_with_the_reason(self, run: Run) -> None:
        shown = run("providers", "no_such_module:provider")
        assert shown.code == 1
        assert "no_such_module:provider cannot be used: " in shown.output

    def test_an_unknown_name_lists_the_valid_ones(self, run: Run) -> None:
        refused = run("providers", "dema")
        assert (refused.code, "Is it 'demo'?" in refused.errors) == (2, True)

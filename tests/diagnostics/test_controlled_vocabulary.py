"""The controlled vocabulary: what it accepts, and its messages for everything else."""

from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary, default_vocabulary
from climate_ref_prefect.diagnostics.errors import BadInputError, ResultValidationError, VocabularyMismatchError
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile

TEXT = """
dimensions:
  - name: source_id
    long_name: Source
    required: true
  - name: region
    allow_extra_values: false
    values:
      - {name: global, long_name: Global}
      - {name: NHEX}
  - name: statistic
    allow_extra_values: false
    values: [{name: mean}]
"""


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    return read(tmp_path, TEXT)


def read(directory: Path, text: str) -> Vocabulary:
    path = directory / "words.yaml"
    path.write_text(text)
    return Vocabulary.from_yaml(path)


def metrics(**address: str) -> MetricBundle:
    return MetricBundle.from_scalars(tuple(address), {tuple(address.values()): 1.0})


def one_series(**dimensions: str) -> Series:
    return Series(dimensions=dimensions, index_name="year", index=(2000,), values=(1.0,))


def plot(**dimensions: str) -> OutputBundle:
    return OutputBundle(plots={"map": OutputFile(filename="map.png", dimensions=dimensions)})


def mismatches(vocabulary: Vocabulary, *result: object) -> list[str]:
    with pytest.raises(VocabularyMismatchError) as caught:
        vocabulary.check(*result)  # type: ignore[arg-type]
    return str(caught.value).split("\n- ")


def test_a_result_of_known_words_passes(vocabulary: Vocabulary) -> None:
    vocabulary.check(
        metrics(source_id="any model", region="global", statistic="mean"),
        [one_series(source_id="any model", region="NHEX")],
        plot(region="NHEX"),
    )


def test_all_mismatches_are_listed(vocabulary: Vocabulary) -> None:
    found = mismatches(
        vocabulary,
        metrics(region="Mars", season="djf"),
        [one_series(source_id="x", region="global"), one_series(region="Venus")],
        plot(region="Moon", colour="red"),
    )
    assert found[0] == "7 mismatches with the controlled vocabulary:"
    assert (
        found[1:]
        == [
            "metrics: region 'Mars' is not one of global, NHEX",
            "metrics: there is no dimension 'season'; valid: region, source_id, statistic",
            "metrics: dimension 'source_id' is required and missing",
            "series of year: region 'Venus' is not one of global, NHEX",
            "series of year: dimension 'source_id' is required and missing",
            "plots 'map': region 'Moon' is not one of global, NHEX",
            "plots 'map': there is no dimension 'colour'; valid: region, source_id, statistic",
        ]
        or len(found) == 8
    )


def test_every_value_of_a_closed_dimension_is_looked_at(vocabulary: Vocabulary) -> None:
    bundle = MetricBundle.from_scalars(
        ("source_id", "region"), {("a", "Mars"): 1.0, ("a", "global"): 1.0, ("b", "Mars"): 2.0, ("b", "Moon"): None}
    )
    assert len(mismatches(vocabulary, bundle)) == 3


def test_an_unknown_dimension_without_values_is_a_mismatch(vocabulary: Vocabulary) -> None:
    empty = MetricBundle.from_scalars(("source_id", "season"), {})
    assert "no dimension 'season'" in mismatches(vocabulary, empty)[1]


def test_a_mismatch_is_an_invalid_result(vocabulary: Vocabulary) -> None:
    with pytest.raises(ResultValidationError, match=r"^1 mismatch with"):
        vocabulary.check(metrics(source_id="x", region="Mars"))


def test_long_lists_are_cut(tmp_path: Path) -> None:
    values = ", ".join(f"{{name: v{number:03}}}" for number in range(100))
    long = read(tmp_path, f"dimensions: [{{name: a, allow_extra_values: false, values: [{values}]}}]")
    assert mismatches(long, metrics(a="x"))[1].endswith("v010, v011 and 88 more")
    closed = read(tmp_path, "dimensions: [{name: a, allow_extra_values: false}]")
    assert mismatches(closed, metrics(a="x"))[1].endswith("not one of nothing (none is listed)")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"none\.yaml cannot be read: No such file"):
        Vocabulary.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(BadInputError, match="cannot be read: Is a directory"):
        Vocabulary.from_yaml(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dimensions: [\n  {name: a\n", r"words\.yaml, line 3, column 1 is not YAML: expected ',' or '}'"),
        ("a: b: c", r"line 1, column 5 is not YAML"),
        ("dimensions: !!python/object/apply:os.system [ls]", r"line 1, column 13 is not YAML: could not determine"),
        ("dimensions: 2020-13-45", "is not YAML: month must be in 1..12"),
        ("a\0b", "is not YAML: "),
        ("[" * 1500, "is not YAML: "),
        ("", "words.yaml is not a vocabulary: the file: "),
        ("dimensions: []", "dimensions: Tuple should have at least 1 item"),
        ("dimension: []", "dimension: Extra inputs are not permitted"),
        ("dimensions:\n  - long_name: a", r"dimensions\[0\]\.name: Field required"),
        ("dimensions:\n  - name: a\n  - name: no", r"dimensions\[1\]\.name: Input should be a valid string"),
        ("dimensions:\n  - {name: a, requierd: true}", r"dimensions\[0\]\.requierd: Extra inputs"),
        ("dimensions:\n  - {name: a, values: [{name: x}, {nam: y}]}", r"dimensions\[0\]\.values\[1\]\.name: Field req"),
        ("dimensions: [{name: a}, {name: a}]", "dimension a is listed more than once"),
        ("dimensions: [{name: a, values: [{name: x}, {name: x}]}]", "value x is listed more than once"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read(tmp_path, text)


def test_a_file_of_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("dimensions: [{name: région}]".encode("latin-1"))
    with pytest.raises(BadInputError, match=r"latin\.yaml is not UTF-8"):
        Vocabulary.from_yaml(path)


def test_the_default_vocabulary_knows_the_words_of_cmip() -> None:
    vocabulary = default_vocabulary()
    dimensions = {dimension.name: dimension for dimension in vocabulary.dimensions}
    facets = {"source_id", "experiment_id", "member_id", "table_id", "variable_id", "grid_label"}
    assert dimensions.keys() >= facets | {"region", "level", "statistic", "metric"}
    closed = {name for name, dimension in dimensions.items() if not dimension.allow_extra_values}
    assert closed == {"variable_id", "region", "statistic"}
    assert {"ta", "tas", "pr"} <= {value.name for value in dimensions["variable_id"].values}
    assert all(dimension.long_name and dimension.description for dimension in vocabulary.dimensions)
    vocabulary.check(metrics(source_id="CanESM5", region="global", statistic="mean", level="850hPa"))

"""CMEC bundles: what they look like on disk and what they refuse."""

import json
import math
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle, Scalar
from climate_ref_prefect.diagnostics.output_bundle import OUTPUT_TYPES, OutputBundle, OutputFile, Provenance
from tests.diagnostics import strategies

STRUCTURE = ("source_id", "statistic")
SCALARS: dict[tuple[str, ...], Scalar] = {
    ("CanESM5", "bias"): 1.5,
    ("CanESM5", "rmse"): 2,
    ("MIROC6", "bias"): None,
}


def bundle() -> MetricBundle:
    return MetricBundle.from_scalars(STRUCTURE, SCALARS, provenance={"period": "1950-2014"})


def document(**changes: Any) -> dict[str, Any]:
    """Return a small CMEC document, with changes."""
    return {"DIMENSIONS": {"json_structure": ["a"], "a": {"x": {}}}, "RESULTS": {"x": 1.0}} | changes


def test_a_metric_bundle_is_written_as_cmec() -> None:
    assert json.loads(bundle().model_dump_json()) == {
        "SCHEMA": {"name": "CMEC", "version": "v1", "package": "climate-ref-prefect"},
        "DIMENSIONS": {
            "json_structure": ["source_id", "statistic"],
            "source_id": {"CanESM5": {}, "MIROC6": {}},
            "statistic": {"bias": {}, "rmse": {}},
        },
        "RESULTS": {"CanESM5": {"bias": 1.5, "rmse": 2}, "MIROC6": {"bias": None}},
        "PROVENANCE": {"period": "1950-2014"},
        "DISCLAIMER": {},
        "NOTES": {},
    }


def test_scalars_come_back_with_their_dimensions() -> None:
    expected = [(dict(zip(STRUCTURE, address, strict=True)), value) for address, value in SCALARS.items()]
    assert list(bundle().scalars()) == expected


@given(strategies.metric_bundles())
def test_scalars_rebuild_the_bundle(drawn: MetricBundle) -> None:
    scalars = {tuple(address.values()): value for address, value in drawn.scalars()}
    assert MetricBundle.from_scalars(drawn.json_structure, scalars, provenance=drawn.provenance) == drawn


def test_attributes_inside_results_are_no_scalars() -> None:
    results = {"x": 1.0, "attributes": {"units": "K"}}
    assert list(MetricBundle.model_validate(document(RESULTS=results)).scalars()) == [({"a": "x"}, 1.0)]


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_hold_is_refused(missing: float) -> None:
    with pytest.raises(ValidationError, match="write null for a missing value"):
        MetricBundle.from_scalars(("a",), {("x",): missing})
    with pytest.raises(ValidationError, match="finite"):
        MetricBundle.from_scalars(("a",), {("x",): 1.0}, provenance={"q": missing})
    with pytest.raises(ValidationError, match="finite"):
        MetricBundle.model_validate(document(RESULTS={"x": 1.0, "attributes": {"q": missing}}))
    with pytest.raises(ValidationError, match="finite"):
        Series(dimensions={"a": "b"}, index_name="year", index=(1,), values=(missing,))


TRUE: Any = np.bool_(True)
NUMBERS = [
    (np.float32(1.5), 1.5),
    (np.float64(1.5), 1.5),
    (np.float16(1.5), 1.5),
    (np.longdouble(1.5), 1.5),
    (np.int64(3), 3),
    (np.uint8(3), 3),
    (np.array(2.5, dtype="f4"), 2.5),
    (xarray.DataArray(2.5), 2.5),
    (np.ma.masked_array(2.5), 2.5),
    (np.ma.masked, None),
    (np.ma.masked_array(2.5, mask=True), None),
]


@pytest.mark.parametrize(("given", "expected"), NUMBERS)
def test_numbers_of_numpy_are_numbers(given: Any, expected: float | None) -> None:
    attributes = {"n": given, "all": [given, {"deep": given}]}
    plain = {"n": expected, "all": [expected, {"deep": expected}]}
    metrics = MetricBundle.from_scalars(("a",), {("x",): given}, provenance=attributes)
    series = Series(dimensions={"a": "b"}, index_name="n", index=(1,), values=(given,), attributes=attributes)
    outputs = OutputBundle(provenance=Provenance(environment=attributes))
    written = json.loads(ExecutionResult(metrics=metrics, series=(series,), outputs=outputs).model_dump_json())
    assert written["metrics"]["RESULTS"] == {"x": expected}
    assert written["metrics"]["PROVENANCE"] == written["series"][0]["attributes"] == plain
    assert written["outputs"]["provenance"]["environment"] == plain
    assert written["series"][0]["values"] == [expected]
    assert type(next(metrics.scalars())[1]) is type(expected)


def test_an_index_of_numpys_numbers_keeps_its_type() -> None:
    series = Series(dimensions={"a": "b"}, index_name="year", index=tuple(np.arange(1850, 1853)), values=(1, 2, 3))
    assert [(year, type(year)) for year in series.index] == [(1850, int), (1851, int), (1852, int)]


def test_a_truth_of_numpys_is_an_attribute_and_no_scalar() -> None:
    made = MetricBundle.from_scalars(("a",), {("x",): 1.0}, provenance={"detrended": TRUE})
    assert made.provenance == {"detrended": True}
    with pytest.raises(ValidationError, match="must be an int, a float or null, not True"):
        MetricBundle.from_scalars(("a",), {("x",): TRUE})


@pytest.mark.parametrize("scalar", [np.array([1.0]), np.complex64(1), np.datetime64("2000"), np.float32("nan")])
def test_what_is_no_number_of_numpys_is_refused(scalar: Any) -> None:
    with pytest.raises(ValidationError, match="RESULTS at"):
        MetricBundle.from_scalars(("a",), {("x",): scalar})


@pytest.mark.parametrize("scalar", [True, "1.0", [1.0], {"deeper": 1.0}])
def test_a_scalar_is_a_number_or_null(scalar: object) -> None:
    with pytest.raises(ValidationError, match="must be an int, a float or null"):
        MetricBundle.model_validate(document(RESULTS={"x": scalar}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RESULTS": {"y": 1.0}}, "a 'y', which DIMENSIONS does not list"),
        ({"RESULTS": 1.0}, "results"),
        ({"DIMENSIONS": None}, "DIMENSIONS must be an object"),
        ({"DIMENSIONS": {"json_structure": []}}, "json_structure"),
        ({"DIMENSIONS": {"json_structure": ["a", "b"], "a": {"x": {}}}}, "do not match json_structure"),
        ({"DIMENSIONS": {"json_structure": ["a"], "a": {"x": {}}, "b": {}}}, "do not match json_structure"),
        ({"DIMENSIONS": {"json_structure": ["a", "a"], "a": {"x": {}}}}, "names a dimension twice"),
        ({"DIMENSIONS": {"json_structure": ["a", "b"], "a": {"x": {}}, "b": {}}}, "one key per b"),
        ({"DIMENSIONS": {"json_structure": ["attributes"], "attributes": {"x": {}}}}, "word of CMEC's own"),
        ({"RESULT": {}}, r"\['RESULT'\] are not keys of a metric bundle; valid: SCHEMA, DIMENSIONS, RESULTS"),
        ({"results": {}}, r"\['results'\] are not keys"),
    ],
)
def test_a_document_that_is_not_cmec_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MetricBundle.model_validate(document(**changes))


@pytest.mark.parametrize(("structure", "address"), [(("a", "b"), ("x",)), (("a",), ("x", "y")), ((), ())])
def test_an_address_has_one_value_per_dimension(structure: tuple[str, ...], address: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="does not have one value for each of"):
        MetricBundle.from_scalars(structure, {address: 1.0})


def test_a_value_that_cmec_would_not_read_back_is_refused() -> None:
    with pytest.raises(ValidationError, match="is not read as results"):
        MetricBundle.from_scalars(("a", "b"), {("x", "attributes"): 1.0})


@pytest.mark.parametrize("filename", ["", ".", "./", "..", "../x", "a/../../x", "a/..", "/x", "//x", "a\0b"])
def test_an_output_file_stays_inside(filename: str) -> None:
    with pytest.raises(ValidationError, match="must be a path inside the output directory"):
        OutputFile(filename=filename)


@pytest.mark.parametrize("filename", ["x", "a/b.nc", "..x", "a..b/c", "~/x", "with space.png", "Größe.nc"])
def test_odd_names_inside_are_fine(filename: str) -> None:
    assert OutputFile(filename=filename).filename == filename


@given(strategies.output_bundles)
def test_an_output_bundle_lists_every_file(drawn: OutputBundle) -> None:
    listed = {(kind, short_name): file for kind, short_name, file in drawn.files()}
    assert listed == {(kind, name): file for kind in OUTPUT_TYPES for name, file in getattr(drawn, kind).items()}


def test_a_series_has_a_value_for_each_index() -> None:
    with pytest.raises(ValidationError, match="1 values for an index of 2"):
        Series(dimensions={"a": "b"}, index_name="year", index=(1, 2), values=(1.0,))
    with pytest.raises(ValidationError, match="dimensions"):
        Series(dimensions={}, index_name="year", index=(1,), values=(1.0,))


def test_two_series_that_would_be_recorded_as_one_are_refused() -> None:
    one = Series(dimensions={"a": "b", "c": "d"}, index_name="year", index=(1,), values=(1.0,))
    same = Series(dimensions={"c": "d", "a": "b"}, index_name="year", index=(2,), values=(2.0,))
    other = same.model_copy(update={"index_name": "month"})
    assert len(ExecutionResult(metrics=bundle(), series=(one, other)).series) == 2
    with pytest.raises(ValidationError, match="two series of year"):
        ExecutionResult(metrics=bundle(), series=(one, same))

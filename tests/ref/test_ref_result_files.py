"""What a result of REF names is looked at where it lies, before anything is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.result_document import RESULT_FILE, result_files
from tests.ref.ref_database import wire_result

OUTPUT_BUNDLE = {
    "index": None,
    "provenance": {"environment": {}, "modeldata": [], "obsdata": {}, "log": "out.log"},
    "data": {"values": {"filename": "data/values.nc", "long_name": "values", "description": "values"}},
    "plots": None,
    "html": None,
    "metrics": None,
}


def result_in(output: Path, **changed: Any) -> Any:
    """Return a success of REF whose files lie in a directory."""
    return upstream.from_wire({**wire_result(output), **changed})


def test_the_files_of_a_result_are_its_bundles_and_what_the_output_bundle_names(tmp_path: Path) -> None:
    (tmp_path / "output.json").write_text(json.dumps(OUTPUT_BUNDLE), encoding="utf-8")
    names = {RESULT_FILE, "data/values.nc", "diagnostic.json", "output.json"}
    assert set(result_files(result_in(tmp_path), tmp_path)) == names


@pytest.mark.parametrize("content", [None, "{", "[]"], ids=["missing", "torn", "of another kind"])
def test_an_output_bundle_that_cannot_be_read_is_an_invalid_result(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "output.json").write_text(content, encoding="utf-8")
    with pytest.raises(ResultValidationError, match=r"output\.json"):
        result_files(result_in(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric_bundle_filename": None}, "no metric bundle"),
        ({"series_filename": "/elsewhere/series.json"}, "outside its own directory"),
    ],
)
def test_a_result_that_ref_could_not_keep_is_an_invalid_result(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    (tmp_path / "output.json").write_text(json.dumps(OUTPUT_BUNDLE), encoding="utf-8")
    with pytest.raises(ResultValidationError, match=message):
        result_files(result_in(tmp_path, **changed), tmp_path)

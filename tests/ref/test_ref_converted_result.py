"""REF's results become results of this package, or are refused in words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.ref.converted_result import converted_result
from climate_ref_prefect.ref.result_document import RESULT_FILE, read_result
from climate_ref_prefect.testing.recorders.example_values import SCALARS
from tests.ref.ref_database import documents

STATISTIC = next(iter(SCALARS))
Change = Callable[[dict[str, Any]], object]
SERIES = {
    "dimensions": {"source_id": "A"},
    "index_name": "year",
    "index": [2000, 2001],
    "values": [1.0, float("nan")],
    "kind": "model",
    "value_units": "K",
    "attributes": {"calendar": "noleap"},
}


def convert(directory: Path, **changes: Change) -> ExecutionResult:
    """Convert what `documents` has, with changes to the documents `diagnostic` and `output`."""
    for name, text in documents(directory).items():
        (directory / name).write_text(text, encoding="utf-8")
    for name, change in changes.items():
        document = json.loads((directory / f"{name}.json").read_text())
        change(document)
        (directory / f"{name}.json").write_text(json.dumps(document))
    result = json.loads((directory / RESULT_FILE).read_text())
    (directory / RESULT_FILE).write_text(json.dumps({**result, "series_filename": "series.json"}))
    if not (directory / "series.json").exists():
        (directory / "series.json").write_text(json.dumps([SERIES]))
    return converted_result(read_result(directory), directory)


def test_values_series_and_files_are_the_same(tmp_path: Path) -> None:
    converted = convert(tmp_path)
    found = {dimensions["statistic"]: value for dimensions, value in converted.metrics.scalars()}
    assert found == dict(SCALARS)
    (series,) = converted.series
    assert (series.index, series.values) == ((2000, 2001), (1.0, None))
    assert series.attributes == {"kind": "model", "value_units": "K", "calendar": "noleap"}
    assert {file.filename for _, _, file in converted.outputs.files()} == {"values.txt", "out.log"}


def test_what_only_ref_knows_is_left_out(tmp_path: Path) -> None:
    page = {"filename": str(tmp_path / "values.txt"), "long_name": "page", "description": "", "dimensions": None}
    converted = convert(
        tmp_path,
        diagnostic=lambda one: one.update(
            DIMENSIONS={"json_structure": []}, RESULTS={}, PROVENANCE=None, DISCLAIMER=None, NOTES=None, diagnostics={}
        ),
        output=lambda one: one.update(html={"page": page}, plots=None, diagnostics={}),
    )
    assert list(converted.metrics.scalars()) == []
    assert converted.outputs.html["page"].filename == "values.txt"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diagnostic": lambda one: one["RESULTS"].update(pr={STATISTIC: 1.0})}, "which DIMENSIONS does not list"),
        ({"diagnostic": lambda one: one.pop("DIMENSIONS")}, "DIMENSIONS"),
        ({"output": lambda one: one["data"]["values"].update(filename="/etc/hosts")}, "outside its own directory"),
        ({"output": lambda one: one["data"]["values"].pop("filename")}, "filename"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_words(tmp_path: Path, changes: dict[str, Change], words: str) -> None:
    with pytest.raises(ResultValidationError, match=words):
        convert(tmp_path, **changes)

"""Turn REF's result of an execution into an `ExecutionResult`, for recorders that know nothing of REF."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.declaration_errors import describe_validation_error
from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile, Provenance
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.result_document import relative_name

_NO_VALUES: Final = "metric"
"""The dimension of a bundle that has no values: one of this package has at least one dimension, and REF's may not."""
_SECTIONS: Final = ("data", "plots", "html", "metrics")


def converted_result(result: Any, output_directory: Path) -> ExecutionResult:
    """
    Return REF's result with the same values, series and files.

    What REF's documents have beyond the formats of this package is left out: empty sections, and keys that CMEC does
    not know. REF's log is added to the files.

    Parameters
    ----------
    result
        REF's `ExecutionResult`, whose files lie in the output directory.
    output_directory
        Where the execution wrote.

    Raises
    ------
    ResultValidationError
        If it cannot be converted. The message says what in it is the reason.
    """
    if result.metric_bundle_filename is None:
        raise ResultValidationError("The result has no metric bundle, which REF needs of every success.")
    try:
        return ExecutionResult(
            metrics=_metrics(_read(result, result.metric_bundle_filename)),
            outputs=_outputs(_read(result, result.output_bundle_filename), output_directory),
            series=tuple(map(_series, _read(result, result.series_filename) or ())),
        )
    except ValidationError as error:
        raise _inconvertible(describe_validation_error(error)) from error
    except (KeyError, TypeError, AttributeError, FileNotFoundError, json.JSONDecodeError) as error:
        raise _inconvertible(f"{type(error).__name__}: {error}") from error


def _inconvertible(reason: str) -> ResultValidationError:
    return ResultValidationError(
        f"REF's result cannot be recorded outside of REF's database: {reason}. `ref solve` records it in REF's own way."
    )


def _read(result: Any, name: Path | str | None) -> Any:
    return json.loads(result.to_output_path(name).read_text(encoding="utf-8")) if name else None


def _metrics(document: Mapping[str, Any]) -> MetricBundle:
    names = tuple(document["DIMENSIONS"]["json_structure"])
    if not names:
        return MetricBundle(json_structure=(_NO_VALUES,), dimensions={_NO_VALUES: {}}, results={})
    return MetricBundle(
        json_structure=names,
        dimensions={
            name: {value: _mapping(attributes) for value, attributes in document["DIMENSIONS"][name].items()}
            for name in names
        },
        results=document["RESULTS"],
        provenance=_mapping(document.get("PROVENANCE")),
        disclaimer=_mapping(document.get("DISCLAIMER")),
        notes=_mapping(document.get("NOTES")),
    )


def _outputs(document: Mapping[str, Any] | None, output_directory: Path) -> OutputBundle:
    given = document or {}
    files = {
        section: {name: _file(one, output_directory) for name, one in _mapping(given.get(section)).items()}
        for section in _SECTIONS
    }
    if (output_directory / upstream.EXECUTION_LOG_FILENAME).is_file():
        log = OutputFile(filename=upstream.EXECUTION_LOG_FILENAME, long_name="REF's log of the execution")
        files["data"].setdefault(upstream.EXECUTION_LOG_FILENAME, log)
    return OutputBundle(index=given.get("index"), provenance=_provenance(_mapping(given.get("provenance"))), **files)


def _file(given: Mapping[str, Any], output_directory: Path) -> OutputFile:
    return OutputFile(
        filename=relative_name(given["filename"], output_directory),
        long_name=given.get("long_name") or "",
        description=given.get("description") or "",
        dimensions=_mapping(given.get("dimensions")),
    )


def _provenance(given: Mapping[str, Any]) -> Provenance:
    model_data, observations = given.get("modeldata") or (), given.get("obsdata") or {}
    return Provenance(
        environment=_mapping(given.get("environment")),
        modeldata=(model_data,) if isinstance(model_data, str) else tuple(map(str, model_data)),
        obsdata=observations if isinstance(observations, Mapping) else {"obsdata": observations},
        log=given.get("log"),
    )


def _series(given: Mapping[str, Any]) -> Series:
    """Return a series. What REF says of it beside its values becomes attributes."""
    named = ("dimensions", "index_name", "index", "values", "attributes")
    others = {name: value for name, value in given.items() if name not in named and value is not None}
    return Series(
        dimensions=given["dimensions"],
        index_name=given["index_name"],
        index=tuple(given["index"]),
        values=tuple(None if value is None or not math.isfinite(value) else value for value in given["values"]),
        attributes={**others, **_mapping(given.get("attributes"))},
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

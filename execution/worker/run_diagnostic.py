"""Run a diagnostic and write its bundles: the part that is the same in every kind of process."""

import json
from pathlib import Path
from typing import IO, Any

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.execution_result import (
    METRIC_BUNDLE,
    OUTPUT_BUNDLE,
    SERIES,
    ExecutionResult,
    ResultFiles,
    SeriesCollection,
)
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.input_change_check import require_unchanged_inputs
from climate_ref_prefect.execution.output_manifest import check_files, check_names
from climate_ref_prefect.execution.worker.random_seeds import seeded_random


def run_diagnostic(envelope: ExecutionEnvelope, provider: DiagnosticProvider, output: Path) -> ResultFiles | None:
    """
    Have the provider run the execution of an envelope, and write the bundles of its result to `output`.

    Returns
    -------
    The files of a result in a format of the provider's own; None for bundles.

    Raises
    ------
    InputChangedError
        If its input files have changed since it was planned.
    ResultValidationError
        If it did not return a valid result, or the result names files that do not exist.
    """
    output.mkdir(mode=0o750, parents=True, exist_ok=True)
    require_unchanged_inputs(envelope, "Before it ran")
    with seeded_random(envelope.definition):
        result: object = provider.run(envelope.definition, output)
    if isinstance(result, ResultFiles):
        check_names(result.files, output)
        return result
    if not isinstance(result, ExecutionResult):
        raise ResultValidationError(
            f"{envelope.definition.label} returned {type(result).__name__}, it must return an ExecutionResult."
        )
    check_files(result.outputs, output)
    _write(output / METRIC_BUNDLE, result.metrics.model_dump(mode="json"))
    _write(output / OUTPUT_BUNDLE, result.outputs.model_dump(mode="json"))
    _write(output / SERIES, SeriesCollection(series=result.series).model_dump(mode="json"))
    return None


def _write(path: Path, document: Any) -> None:
    # The same values give the same bytes, whichever process writes them.
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"
    with _create(path) as file:
        file.write(text)


def _create(path: Path) -> IO[str]:
    """Open a new file. Remove what the diagnostic may have left under its name, so that no link is followed."""
    try:
        return path.open("x", encoding="utf-8")
    except FileExistsError:
        _take_away(path)
        return path.open("x", encoding="utf-8")


def _take_away(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        if path.is_dir():
            raise ResultValidationError(f"The diagnostic has left a directory named {path.name!r}.") from error
        raise

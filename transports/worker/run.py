"""Run a diagnostic and write its bundles: the part that is the same in every kind of process."""

import json
from pathlib import Path
from typing import IO, Any

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.result import (
    METRIC_BUNDLE,
    OUTPUT_BUNDLE,
    SERIES,
    ExecutionResult,
    SeriesCollection,
)
from climate_ref_prefect.transports.worker.inputs import require_planned_inputs
from climate_ref_prefect.transports.worker.manifest import check_files
from climate_ref_prefect.transports.worker.randomness import seeded_random


def run_diagnostic(envelope: ExecutionEnvelope, provider: DiagnosticProvider, output: Path) -> None:
    """
    Run the diagnostic that an envelope names and write its bundles to `output`.

    Raises
    ------
    InputChangedError
        If its input files have changed since it was planned.
    ResultValidationError
        If it did not return a valid result, or the result names files that do not exist.
    """
    output.mkdir(mode=0o750, exist_ok=True)
    diagnostic = provider.diagnostic(envelope.definition.diagnostic)
    require_planned_inputs(envelope, "Before it ran")
    with seeded_random(envelope.definition):
        result: object = diagnostic.run(envelope.definition, output)
    if not isinstance(result, ExecutionResult):
        raise ResultValidationError(
            f"{envelope.definition.label} returned {type(result).__name__}, it must return an ExecutionResult."
        )
    check_files(result.outputs, output)
    _write(output / METRIC_BUNDLE, result.metrics.model_dump(mode="json"))
    _write(output / OUTPUT_BUNDLE, result.outputs.model_dump(mode="json"))
    _write(output / SERIES, SeriesCollection(series=result.series).model_dump(mode="json"))


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

"""Run a diagnostic and write what it returns: the part that is the same in every process."""

import json
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope
from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.result import (
    METRIC_BUNDLE,
    OUTPUT_BUNDLE,
    SERIES,
    ExecutionResult,
    SeriesCollection,
)


def run_diagnostic(envelope: ExecutionEnvelope, provider: DiagnosticProvider, output: Path) -> None:
    """
    Run the diagnostic that an envelope names and leave its bundles in `output`.

    Raises
    ------
    ResultValidationError
        If what it returned is no result, or names files that it did not leave.
    """
    output.mkdir(mode=0o750, exist_ok=True)
    diagnostic = provider.diagnostic(envelope.definition.diagnostic)
    result: object = diagnostic.run(envelope.definition, output)
    if not isinstance(result, ExecutionResult):
        raise ResultValidationError(
            f"{envelope.definition.label} returned {type(result).__name__}, it must return an ExecutionResult."
        )
    check_files(result.outputs, output)
    _write(output / METRIC_BUNDLE, result.metrics.model_dump(mode="json"))
    _write(output / OUTPUT_BUNDLE, result.outputs.model_dump(mode="json"))
    _write(output / SERIES, SeriesCollection(series=result.series).model_dump(mode="json"))


def check_files(outputs: OutputBundle, output: Path) -> None:
    """
    Refuse an output bundle that names what is not a regular file inside its own directory.

    Raises
    ------
    ResultValidationError
        Naming the first file that is missing, a link, or reached through one.
    """
    root = output.resolve()
    for output_type, short_name, file in outputs.files():
        path = root / file.filename
        if path.resolve() != path:
            raise ResultValidationError(
                f"{output_type} {short_name!r} names {file.filename!r}, which is or passes through a link."
            )
        if not path.is_file():
            raise ResultValidationError(f"{output_type} {short_name!r} names {file.filename!r}, which does not exist.")


def _write(path: Path, document: Any) -> None:
    # Same bytes for the same values, whatever process wrote them.
    path.write_text(json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")

"""Run an execution in the calling process, for a debugger: without isolation, deadline or memory limit."""

from pathlib import Path

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.provider import load_provider
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, FileRecord
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.execution.worker.child_process import import_failure
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception
from climate_ref_prefect.execution.worker.output_validation import failure_if_inputs_changed
from climate_ref_prefect.execution.worker.resource_sampler import ResourceSampler
from climate_ref_prefect.execution.worker.run_diagnostic import run_diagnostic
from climate_ref_prefect.execution.worker.supervisor_process import claim_or_refuse, refuse_unreadable


def execute_in_process(path: Path) -> ExecutionOutcome:
    """Run the execution whose envelope lies at `path` in this process, and write its outcome there."""
    try:
        return _execute(ExecutionDirectory(path))
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        return refuse_unreadable(error)


def _execute(directory: ExecutionDirectory) -> ExecutionOutcome:
    envelope = directory.read_envelope()
    refused = claim_or_refuse(directory, envelope)
    if refused is not None:
        return refused
    directory.log.write_text(
        "Ran in the coordinator's own process: what it printed went to its output.\n", encoding="utf-8"
    )
    meter = ResourceSampler()
    failure, files = _run(directory, envelope)
    outcome = ExecutionOutcome(
        execution_id=envelope.execution_id, failure=failure, manifest=files, telemetry=meter.telemetry()
    )
    directory.write_outcome(outcome)
    return outcome


def _run(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope
) -> tuple[ExecutionFailure | None, tuple[FileRecord, ...]]:
    try:
        provider = load_provider(envelope.provider)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an import raises, the provider cannot be used
        return import_failure(envelope.provider.target, error), ()
    files: tuple[FileRecord, ...] = ()
    failure = None
    try:
        output = directory.output_of(envelope)
        own = run_diagnostic(envelope, provider, output)
        if own is not None:
            directory.write_result_files(own)
        files = manifest(output, names=own.files if own else None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every exception has a meaning, which the verdict gives
        failure = failure_from_exception(error)
    failure = failure_if_inputs_changed(failure, envelope)
    return failure, () if failure else files

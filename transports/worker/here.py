"""Run an execution in the calling process, for a debugger: without isolation, deadline or memory limit."""

from pathlib import Path

from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome
from climate_ref_prefect.diagnostics.provider import load_provider
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory, manifest
from climate_ref_prefect.transports.worker.meter import Meter
from climate_ref_prefect.transports.worker.run import run_diagnostic
from climate_ref_prefect.transports.worker.supervisor import claim_or_refuse
from climate_ref_prefect.transports.worker.verdict import judge_exception


def execute_here(path: Path) -> ExecutionOutcome:
    """Run the execution whose envelope lies at `path` in this process, and leave its outcome there."""
    directory = ExecutionDirectory(path)
    envelope = directory.read_envelope()
    refused = claim_or_refuse(directory, envelope)
    if refused is not None:
        return refused
    meter = Meter()
    judged = None
    directory.log.write_text("Ran in the coordinator's own process: what it printed went to its output.\n")
    try:
        run_diagnostic(envelope, load_provider(envelope.provider), directory.output)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every exception has a meaning, which the verdict gives
        judged = judge_exception(error)
    outcome = ExecutionOutcome(
        execution_id=envelope.execution_id,
        failure=judged,
        manifest=() if judged else manifest(directory.output),
        telemetry=meter.telemetry(),
    )
    directory.write_outcome(outcome)
    return outcome

"""Example executions, results and lease holders, which the contract of recorders records."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.execution_result import (
    METRIC_BUNDLE,
    OUTPUT_BUNDLE,
    SERIES,
    ExecutionResult,
    Series,
    SeriesCollection,
)
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, Telemetry
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    Allocation,
    AttemptCounts,
    Finalisation,
    Recorder,
    Writer,
    address_of,
)

HINT = ResourceHint(memory_mb=2048, cpu=2)
SCALARS: Mapping[str, float | None] = {"trend": 1.5, "p_value": None}
"""Values by `statistic`, of the model `CanESM5`."""


def holder(pid: int | None = None) -> Holder:
    """Return who coordinates in a test: this process, or another one of this host."""
    return Holder(host=socket.gethostname(), pid=os.getpid() if pid is None else pid, since=time.time())


def definition(key: str = "CanESM5", fingerprint: str = "a") -> ExecutionDefinition:
    """Return a definition on one data set, in a state of its files that `fingerprint` names."""
    dataset = Dataset(
        instance_id=f"CMIP6.{key}",
        facets={"source_id": key},
        files=(Path("/data/file.nc"),),
        fingerprint=fingerprint,
    )
    return ExecutionDefinition(
        provider="suite",
        provider_version="1",
        diagnostic="mean",
        diagnostic_version="1",
        key=key,
        selectors={"source_id": key},
        datasets=(dataset,),
    )


def result(model: str = "CanESM5", dimension: str = "statistic") -> ExecutionResult:
    """Return a result of two numbers, a series and a file; of a dimension that is in no vocabulary if one is given."""
    metrics = MetricBundle.from_scalars(
        ("source_id", dimension), {(model, name): value for name, value in SCALARS.items()}
    )
    series = Series(dimensions={"source_id": model}, index_name="month", index=(1, 2), values=(0.5, None))
    return ExecutionResult(
        metrics=metrics, outputs=OutputBundle(data={"values": OutputFile(filename="values.txt")}), series=(series,)
    )


def envelope_of(allocated: AllocatedExecution) -> ExecutionEnvelope:
    """Return the envelope that a worker is given for an execution."""
    return ExecutionEnvelope(
        execution_id=allocated.execution_id,
        fragment=allocated.fragment,
        provider=ProviderReference(target="suite:provider"),
        definition=allocated.definition,
        resources=allocated.resources,
        output_directory=allocated.output_directory,
    )


def leave_results(scratch: Path, allocated: AllocatedExecution, left: ExecutionResult) -> FinishedExecution:
    """Leave what a worker does of an execution that has succeeded, and return it as a recorder is given it."""
    directory = ExecutionDirectory(scratch / allocated.fragment)
    envelope = envelope_of(allocated)
    output = directory.output_of(envelope)
    directory.write_envelope(envelope)
    output.mkdir(parents=True)
    directory.log.write_text("what it has printed\n", encoding="utf-8")
    documents = {
        METRIC_BUNDLE: left.metrics.model_dump_json(),
        OUTPUT_BUNDLE: left.outputs.model_dump_json(),
        SERIES: SeriesCollection(series=left.series).to_json(),
        "values.txt": "1.5\n",
    }
    for name, text in documents.items():
        (output / name).write_text(text, encoding="utf-8")
    outcome = ExecutionOutcome(execution_id=allocated.execution_id, manifest=manifest(output))
    directory.write_outcome(outcome)
    return FinishedExecution(envelope=envelope, outcome=outcome, directory=directory.path)


def success(results_path: Path | None = None) -> Finalisation:
    """Return how a success ends."""
    return Finalisation(
        successful=True,
        retryable=False,
        counted=True,
        failure=None,
        telemetry=Telemetry(duration_seconds=3.5, peak_rss_mb=100.5, host="node1", exit_code=0),
        clears_dirty=True,
        results_path=str(results_path) if results_path else None,
    )


def failure(kind: FailureKind = FailureKind.CRASHED, *, retryable: bool = True, counted: bool = True) -> Finalisation:
    """Return how a failure ends."""
    return Finalisation(
        successful=False,
        retryable=retryable,
        counted=counted,
        failure=ExecutionFailure(kind=kind, message=f"it has failed by {kind}"),
        telemetry=Telemetry(),
        clears_dirty=not retryable,
        results_path=None,
    )


def allocate(writer: Writer, key: str = "CanESM5") -> AllocatedExecution:
    """Record one attempt at a group."""
    (allocated,) = writer.allocate([Allocation(definition=definition(key), resources=HINT, attempt=1)])
    return allocated


def counts_of(recorder: Recorder, key: str = "CanESM5", fingerprint: str = "a") -> AttemptCounts:
    """Return how often a group has been tried on some state of its data."""
    about = definition(key, fingerprint)
    return recorder.attempt_counts([about])[address_of(about)]

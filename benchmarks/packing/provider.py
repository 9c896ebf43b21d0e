"""The provider of the benchmark: its one diagnostic asks for what its input says, and waits for as long."""

import time
from datetime import timedelta
from pathlib import Path

from benchmarks.packing.workload import Task
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint


class Wait(Diagnostic):
    """Takes room and time, but no processor: the machine has fewer than the cluster claims."""

    slug = "wait"
    name = "Wait"
    data = DataRequirement(group_by=("source_id",))

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        """Return what the task asks for."""
        task = task_of(definition)
        return ResourceHint(
            cpu=task.cpu, memory_mb=task.memory_mb, wall_clock=timedelta(seconds=task.wall_clock_seconds)
        )

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Wait for as long as the task takes."""
        task = task_of(definition)
        time.sleep(task.seconds)
        source = definition.selectors["source_id"]
        return ExecutionResult(metrics=MetricBundle.from_scalars(("source_id",), {(source,): task.seconds}))


def task_of(definition: ExecutionDefinition) -> Task:
    """Return the task that the only file of an execution describes."""
    return Task.model_validate_json(definition.datasets[0].files[0].read_bytes())


provider = DiagnosticProvider("packing", "Packing", "1", [Wait()])

"""
The providers that this project's side of the benchmark runs: a no-op, and the peers' real computation.

xarray and matplotlib come in only for the real one, as with the peers.
"""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

REPEATED = 4
"""How often the annual cycle is computed to take about half a second."""
_RESOURCES = ResourceHint(memory_mb=1024, wall_clock=timedelta(minutes=10))


class Noop(Diagnostic):
    """Returns one number."""

    slug = "noop"
    name = "No operation"
    data = DataRequirement(group_by=("source_id",))
    resources = _RESOURCES

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Return a minimal valid result."""
        source = definition.selectors["source_id"]
        return ExecutionResult(metrics=MetricBundle.from_scalars(("source_id",), {(source,): 1.0}))


class Real(Diagnostic):
    """The annual cycle of air temperature of one model, as the peers compute it."""

    slug = "real"
    name = "Annual cycle"
    data = DataRequirement(filters={"table_id": ("Amon",)}, group_by=("source_id",))
    resources = _RESOURCES

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compute and plot the annual cycle."""
        from benchmarks.overhead.real_work import NETCDF_NAME, PLOT_NAME, annual_cycle  # noqa: PLC0415

        files = [file for dataset in definition.datasets for file in dataset.files]
        source = definition.selectors["source_id"]
        values = annual_cycle(files, output_directory)
        scalars: dict[tuple[str, ...], float] = {(source, name): value for name, value in values.items()}
        return ExecutionResult(
            metrics=MetricBundle.from_scalars(("source_id", "metric"), scalars),
            outputs=OutputBundle(
                data={"annual-cycle": OutputFile(filename=NETCDF_NAME, long_name="Annual cycle")},
                plots={"annual-cycle": OutputFile(filename=PLOT_NAME, long_name="Annual cycle")},
            ),
        )


class HalfSecond(Diagnostic):
    """The annual cycle of one model, computed several times over: about half a second of processor time."""

    slug = "half-second"
    name = "Annual cycle, repeated"
    data = Real.data
    resources = _RESOURCES

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        """Compute and plot the annual cycle again and again."""
        for _ in range(REPEATED - 1):
            Real().run(definition, output_directory)
        return Real().run(definition, output_directory)


class RealProvider(DiagnosticProvider):
    """Has xarray open a file and matplotlib find its fonts before children are forked, as a provider should."""

    def warm_up(self) -> None:
        """Compute and plot the annual cycle of one model, for nothing."""
        from benchmarks.overhead.real_work import (  # noqa: PLC0415
            annual_cycle,
            monthly_historical_ta,
            sample_data_root,
        )

        files = next(iter(monthly_historical_ta(sample_data_root()).values()))
        with TemporaryDirectory() as directory:
            annual_cycle(files, directory)


noop = DiagnosticProvider("benchmark", "Benchmark", "1", [Noop()])
real = RealProvider("benchmark", "Benchmark", "1", [Real()])
half_second = RealProvider("benchmark", "Benchmark", "1", [HalfSecond()])

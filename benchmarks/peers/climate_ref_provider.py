"""
The provider of climate-ref: the no-op of `benchmarks.ref`, and the real work.

Worker processes import this module by name. xarray and matplotlib come in only when a real execution runs, so that a
no-op does not pay for them.
"""

from pathlib import Path
from typing import Any

from climate_ref_core.datasets import FacetFilter, SourceDatasetType
from climate_ref_core.diagnostics import DataRequirement, Diagnostic, ExecutionDefinition, ExecutionResult
from climate_ref_core.providers import DiagnosticProvider
from climate_ref_core.pycmec.output import CMECOutput

from benchmarks.ref.provider import NoOp

REQUIREMENTS = (
    DataRequirement(
        source_type=SourceDatasetType.CMIP6,
        filters=(FacetFilter(facets={"variable_id": ("ta",)}),),
        group_by=("source_id", "member_id"),
    ),
)


class RealDiagnostic(Diagnostic):
    """Compute the annual cycle of one model with `real_work.annual_cycle`."""

    name = "Annual cycle of ta"
    slug = "real"
    data_requirements = REQUIREMENTS
    facets = ("source_id", "region", "metric", "statistic")

    def execute(self, definition: ExecutionDefinition) -> None:
        """Leave everything to `build_execution_result`, which has the values at hand."""

    def build_execution_result(self, definition: ExecutionDefinition) -> ExecutionResult:
        """Run the computation and describe its values, its NetCDF file and its plot."""
        from benchmarks.overhead.real_work import NETCDF_NAME, PLOT_NAME, annual_cycle  # noqa: PLC0415

        datasets = definition.datasets[SourceDatasetType.CMIP6]
        paths = [Path(path) for path in datasets["path"]]
        values = annual_cycle(paths, definition.output_directory)
        output = CMECOutput.create_template()
        output["data"] = {"annual-cycle": _file(NETCDF_NAME, "Annual cycle of ta")}
        output["plots"] = {"annual-cycle": _file(PLOT_NAME, "Plot of the annual cycle of ta")}
        return ExecutionResult.build_from_output_bundle(
            definition,
            cmec_output_bundle=output,
            cmec_metric_bundle=_metric_bundle(datasets.selector_dict()["source_id"], values),
        )


def _file(filename: str, title: str) -> dict[str, str]:
    return {"filename": filename, "long_name": title, "description": title}


def _metric_bundle(model: str, values: dict[str, float]) -> dict[str, Any]:
    metric = "ta-annual-cycle"
    return {
        "DIMENSIONS": {
            "json_structure": ["source_id", "region", "metric", "statistic"],
            "source_id": {model: {}},
            "region": {"global": {}},
            "metric": {metric: {}},
            "statistic": {name: {} for name in values},
        },
        "RESULTS": {model: {"global": {metric: values}}},
    }


provider = DiagnosticProvider("Peers", "1.0")
provider.register(NoOp())
provider.register(RealDiagnostic())

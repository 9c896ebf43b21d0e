"""A provider of climate-ref whose only diagnostic gives one number for each member of a model and computes nothing."""

from climate_ref_core.datasets import FacetFilter, SourceDatasetType
from climate_ref_core.diagnostics import DataRequirement, Diagnostic, ExecutionDefinition, ExecutionResult
from climate_ref_core.providers import DiagnosticProvider
from climate_ref_core.pycmec.output import CMECOutput


class NoOp(Diagnostic):
    """Record one number."""

    name = "No-op"
    slug = "no-op"
    data_requirements = (
        DataRequirement(
            source_type=SourceDatasetType.CMIP6,
            filters=(FacetFilter(facets={"variable_id": ("tas",)}),),
            group_by=("source_id", "member_id"),
        ),
    )
    facets = ("source_id", "statistic")

    def execute(self, definition: ExecutionDefinition) -> None:
        """Do nothing."""

    def build_execution_result(self, definition: ExecutionDefinition) -> ExecutionResult:
        """Write the bundles."""
        source = str(definition.datasets["cmip6"].selector_dict()["source_id"])
        metrics = {
            "DIMENSIONS": {
                "json_structure": ["source_id", "statistic"],
                "source_id": {source: {}},
                "statistic": {"trend": {}},
            },
            "RESULTS": {source: {"trend": 1.0}},
        }
        return ExecutionResult.build_from_output_bundle(
            definition, cmec_output_bundle=CMECOutput.create_template(), cmec_metric_bundle=metrics
        )


provider = DiagnosticProvider("Benchmark", "1.0")
provider.register(NoOp())

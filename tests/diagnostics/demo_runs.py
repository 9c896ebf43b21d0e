"""Running diagnostics of the demo, for the tests of their numbers and of their faults."""

from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, DataGroup
from climate_ref_prefect.diagnostics.demo.provider import provider
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult


@dataclass(frozen=True)
class Run:
    definition: ExecutionDefinition
    result: ExecutionResult
    directory: Path

    @property
    def statistics(self) -> dict[str, float | None]:
        return {address["statistic"]: value for address, value in self.result.metrics.scalars()}


def groups(catalogue: Catalogue, diagnostic: str) -> tuple[DataGroup, ...]:
    return catalogue.groups(provider.diagnostic(diagnostic).data)


def define(catalogue: Catalogue, diagnostic: str, model: str, table: str = "Amon") -> ExecutionDefinition:
    wanted = {"source_id": model, "table_id": table}
    found = next(group for group in groups(catalogue, diagnostic) if wanted.items() <= group.selectors.items())
    return ExecutionDefinition(
        provider=provider.slug,
        provider_version=provider.version,
        diagnostic=diagnostic,
        diagnostic_version=provider.diagnostic(diagnostic).version,
        key=found.key,
        selectors=found.selectors,
        datasets=found.datasets,
    )


def run(definition: ExecutionDefinition, directory: Path) -> Run:
    directory.mkdir(parents=True, exist_ok=True)
    result = provider.diagnostic(definition.diagnostic).run(definition, directory)
    return Run(definition, result, directory)

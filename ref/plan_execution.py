"""Turn REF's executions into planned executions of this package, each with its size."""

from typing import Any

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.ref.hints.sizing import Sizing
from climate_ref_prefect.ref.payload import payload_of
from climate_ref_prefect.ref.provider_adapter import reference_of


class ExecutionPlanner:
    """
    Plans REF's executions.

    Parameters
    ----------
    config
        REF's configuration.
    sizing
        Says what each execution needs.
    as_bundles
        Whether workers turn the results into the bundles of this package, for recorders that know nothing of REF.
    """

    def __init__(self, config: Any, sizing: Sizing, *, as_bundles: bool = False) -> None:
        self._as_bundles = as_bundles
        self._config = config
        self._sizing = sizing

    def plan(self, ref_definition: Any, *, provider_version: str) -> PlannedExecution:
        """
        Return the planned execution.

        Parameters
        ----------
        ref_definition
            REF's definition.
        provider_version
            Version of REF's provider.
        """
        provider, _, diagnostic = ref_definition.diagnostic_full_slug.partition("/")
        definition = ExecutionDefinition(
            provider=provider,
            provider_version=provider_version,
            diagnostic=diagnostic,
            diagnostic_version=str(getattr(ref_definition.diagnostic, "version", 1)),
            key=ref_definition.key,
            selectors={},
            payload=payload_of(ref_definition, self._config).model_dump(mode="json"),
        )
        resources = self._sizing.of(ref_definition).resources
        reference = reference_of(provider, as_bundles=self._as_bundles)
        return PlannedExecution(definition=definition, provider=reference, resources=resources)

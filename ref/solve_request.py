"""What to solve: the part of REF's diagnostics and data that flows, the plan and Python ask for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.transport_choice import transport_choice
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.transports.port import Transport

DatasetFilter = Annotated[str, Field(pattern=r"^[^=\s]+=.+$")]
"""A facet and a value of it, as `ref solve --dataset-filter` takes them."""


class ConfiguredTransport(FrozenModel):
    """The transport that `[executor.config]` in `ref.toml` names; `local` where that is REF's own executor's."""

    kind: Literal["configured"] = "configured"


if TYPE_CHECKING:
    RefTransportChoice: TypeAlias = Transport | Site | ConfiguredTransport
else:
    RefTransportChoice = transport_choice(ConfiguredTransport)
    """Any transport, or the one that `ref.toml` names, which the form shows first."""


AS_CONFIGURED: Final = ConfiguredTransport()


class RefSolveRequest(FrozenModel):
    """What to solve; everything that is due if nothing is given."""

    providers: Sequence[str] | None = None
    """Parts of slugs of providers, as `ref solve` takes them; none for all."""

    diagnostics: Sequence[str] | None = None
    """Parts of slugs of diagnostics; none for all."""

    exclude_diagnostics: Sequence[str] | None = None
    """Slugs, or `provider/diagnostic`, that are left out."""

    dataset_filters: Sequence[DatasetFilter] | None = None
    """`facet=value`; several values of one facet are alternatives."""

    limit: int | None = Field(default=None, gt=0)
    """Most executions."""

    one_per_provider: bool = False
    one_per_diagnostic: bool = False
    rerun_failed: bool = False
    """Whether groups that have failed for good are run, too."""

    def facets(self) -> Mapping[str, list[str]]:
        """Return the allowed values of each facet."""
        allowed: dict[str, list[str]] = {}
        for one in self.dataset_filters or ():
            facet, _, value = one.partition("=")
            allowed.setdefault(facet, []).append(value)
        return allowed

    def filters(self) -> Any:
        """Return REF's filters."""
        return upstream.SolveFilterOptions(
            provider=_listed(self.providers),
            diagnostic=_listed(self.diagnostics),
            exclude_diagnostic=_listed(self.exclude_diagnostics),
            dataset=dict(self.facets()) or None,
        )

    def check_providers(self, solver: Any) -> None:
        """
        Refuse a solve that no provider could have a part in: a misspelt name would look like success.

        Raises
        ------
        BadInputError
            If `ref.toml` has no provider, or the filter matches none of them.
        """
        known = [provider.slug for provider in solver.provider_registry.providers]
        if not known:
            raise BadInputError(
                f"REF has no provider: install one, or name it in ref.toml of {upstream.configuration_directory()}."
            )
        if self.providers and not any(part.lower() in slug for part in self.providers for slug in known):
            raise BadInputError(f"No provider of REF matches {', '.join(self.providers)}. It has {', '.join(known)}.")


def _listed(values: Sequence[str] | None) -> list[str] | None:
    return list(values) if values else None


NOTHING_LEFT_OUT: Final = RefSolveRequest()

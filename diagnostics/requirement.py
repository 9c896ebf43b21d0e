"""Which data sets a diagnostic wants, and how they make executions."""

from collections.abc import Mapping

from pydantic import Field

from climate_ref_prefect.diagnostics.model import FrozenModel


class DataRequirement(FrozenModel):
    """Filters on facets, and the facets by which what passes is grouped."""

    filters: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Facet -> accepted values; a data set must pass every filter."""

    group_by: tuple[str, ...] = Field(min_length=1)
    """One group, and so one execution, per combination of these facets."""

    at_least: int = Field(default=1, gt=0)
    """Groups with fewer data sets are left out."""

    with_ensemble: bool = False
    """
    Whether each group is given, after its own data sets, all the others that pass the filters
    and share its `ensemble_by` facets. For a diagnostic that holds one model against all.
    """

    ensemble_by: tuple[str, ...] = ()
    """Facets that the others must share with the group."""

    def accepts(self, facets: Mapping[str, str]) -> bool:
        """Whether a data set with these facets passes every filter."""
        return all(facets.get(facet) in accepted for facet, accepted in self.filters.items())

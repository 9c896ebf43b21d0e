"""The data requirement of a diagnostic: which data sets it reads, and how they are grouped into executions."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel

Accepted = Annotated[tuple[str, ...], Field(min_length=1)]


class DataRequirement(FrozenModel):
    """Filters on facets, and the facets by which the data sets that pass are grouped."""

    filters: Mapping[str, Accepted] = Field(default_factory=dict)
    """Facet -> accepted values; a data set must pass every filter."""

    group_by: tuple[str, ...] = Field(min_length=1)
    """One group, and so one execution, per combination of these facets."""

    at_least: int = Field(default=1, gt=0)
    """Groups with fewer data sets, those of the ensemble counted, are left out."""

    with_ensemble: bool = False
    """
    Whether each group is given, after its own data sets, all the others that pass the filters
    and share its `ensemble_by` facets. For a diagnostic that holds one model against all.
    """

    ensemble_by: tuple[str, ...] = ()
    """Facets that the others must share with the group, each of them one of `group_by`."""

    @model_validator(mode="after")
    def _ensemble_is_of_the_group(self) -> Self:
        if self.ensemble_by and not self.with_ensemble:
            raise ValueError("ensemble_by says what the ensemble shares with the group, but with_ensemble is not set")
        if not_shared := sorted(set(self.ensemble_by) - set(self.group_by)):
            raise ValueError(f"ensemble_by {not_shared} is not in group_by, so a group has no one value of it")
        return self

    @property
    def facets(self) -> tuple[str, ...]:
        """Every facet that the requirement names."""
        return (*self.filters, *self.group_by)

    def accepts(self, facets: Mapping[str, str]) -> bool:
        """Whether a data set with these facets passes every filter."""
        return all(facets.get(facet) in accepted for facet, accepted in self.filters.items())

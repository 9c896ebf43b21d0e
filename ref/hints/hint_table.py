"""A table of hints: rules with a pattern of provider and diagnostic, the first that matches decides."""

from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from pydantic import Field, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.transports.iso_duration import Duration, PositiveDuration
from climate_ref_prefect.transports.rule_list import read_rule_list

Basis: TypeAlias = Literal["source", "measurement", "estimate"]

_BASES_OF_TERMS = {
    "memory_mb_per_dataset": "memory_mb",
    "memory_mb_per_input_gb": "memory_mb",
    "wall_clock_per_dataset": "wall_clock",
    "wall_clock_per_input_gb": "wall_clock",
}


class HintRule(FrozenModel):
    """What executions of some diagnostics need. A field that is left out is decided by whoever comes next."""

    match: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    """Provider and diagnostic, with wildcards: `esmvaltool/*`. The first rule that matches applies."""

    memory_mb: int | None = Field(default=None, gt=0, strict=True)
    """Memory of the whole process tree, in MiB."""

    memory_mb_per_dataset: float = Field(default=0, ge=0)
    """Memory that each data set adds, in MiB."""

    memory_mb_per_input_gb: float = Field(default=0, ge=0)
    """Memory that each GB (10^9 bytes) of input files adds, in MiB."""

    cpu: int | None = Field(default=None, gt=0, strict=True)
    """Processors."""

    wall_clock: PositiveDuration | None = None
    """Time limit, for example `PT2H`."""

    wall_clock_per_dataset: Duration = timedelta(0)
    """Time that each data set adds."""

    wall_clock_per_input_gb: Duration = timedelta(0)
    """Time that each GB (10^9 bytes) of input files adds."""

    queue: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """A routing tag such as `bigmem`; each site maps it to a queue of its own."""

    basis: Basis | None = None
    """Where the numbers come from: upstream's `source`, a `measurement`, or an `estimate`."""

    note: str = ""
    """What exactly was read or measured."""

    @model_validator(mode="after")
    def _terms_have_a_base(self) -> "HintRule":
        for term, base in _BASES_OF_TERMS.items():
            if getattr(self, term) and getattr(self, base) is None:
                raise ValueError(f"`{term}` adds to `{base}`, which is missing")
        return self

    def matches(self, full_slug: str) -> bool:
        """Whether the rule matches a diagnostic. Case matters."""
        provider, _, diagnostic = full_slug.partition("/")
        wanted_provider, wanted_diagnostic = self.match.split("/")
        return fnmatchcase(provider, wanted_provider) and fnmatchcase(diagnostic, wanted_diagnostic)

    @property
    def asks_input_size(self) -> bool:
        """Whether the size of the input files changes what the rule says."""
        return bool(self.memory_mb_per_input_gb or self.wall_clock_per_input_gb)


class NumberedRule(NamedTuple):
    """A rule and its place in its table, from 1."""

    number: int
    rule: HintRule


class HintTable(FrozenModel):
    """The rules of one file, in their order."""

    origin: str
    """Name of the file, for people."""

    rules: tuple[HintRule, ...] = ()

    def first_match(self, full_slug: str) -> NumberedRule | None:
        """Return the first rule that matches a diagnostic, and its number."""
        found = (NumberedRule(number, rule) for number, rule in enumerate(self.rules, 1) if rule.matches(full_slug))
        return next(found, None)


def read_hint_table(path: Path) -> HintTable:
    """
    Read a table of hints.

    Parameters
    ----------
    path
        YAML: a list of rules, each with the fields of `HintRule`. An empty file is an empty table.

    Raises
    ------
    BadInputError
        If the file cannot be read or a rule is invalid. The message names the rule and what is valid.
    """
    return HintTable(origin=path.name, rules=read_rule_list(path, HintRule, "table of hints"))

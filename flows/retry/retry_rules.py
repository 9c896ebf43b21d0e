"""Retry rules: changes of the retry policy for some providers and diagnostics, by a site or a user."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind, FailureRule, Fault
from climate_ref_prefect.flows.retry.retry_policy import DEFAULT_RULE, RetryPolicy
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.iso_duration import PositiveDuration
from climate_ref_prefect.transports.rule_list import read_rule_list

Then: TypeAlias = Literal["retry", "give up", "next solve"]
Growth: TypeAlias = Literal["memory", "wall clock", "nothing"]

_DECISIONS: Final[Mapping[Then, Decision]] = {
    "retry": Decision.RETRY,
    "give up": Decision.GIVE_UP,
    "next solve": Decision.RETRY_LATER,
}
_WHY_FIXED: Final[Mapping[Fault, str]] = {
    Fault.INFRASTRUCTURE: "it is an infrastructure fault and says nothing about the execution",
    Fault.INPUTS: "its inputs are not what was planned, and only another plan helps",
    Fault.USER: "it is what the user wants",
    Fault.REFUSED: "the backend refuses for good, and would refuse again",
}
_LIMITS: Final = ("max_attempts", "max_lost", "growth_factor", "max_memory_mb", "max_wall_clock")


class RetryRule(FrozenModel):
    """How often and with which resources executions of some diagnostics are retried; the rest is as in `Settings`."""

    match: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    """Provider and diagnostic, with wildcards: `demo/annual-*`, `*/*`. The first rule that matches applies."""

    name: str = Field(default="", max_length=40)
    """Name for plans and reports; `match` if left out."""

    max_attempts: int | None = Field(default=None, ge=1, strict=True)
    """Attempts of one group on the same inputs, counted over all solves."""

    max_lost: int | None = Field(default=None, ge=0, strict=True)
    """Attempts lost to nodes, preemption or coordinators beyond which it is given up."""

    growth_factor: float | None = Field(default=None, gt=1, le=100)
    """Factor by which an exhausted resource grows for the next attempt."""

    max_memory_mb: int | None = Field(default=None, gt=0, strict=True)
    """The most memory that an attempt may grow to, in MiB."""

    max_wall_clock: PositiveDuration | None = None
    """The longest time limit that an attempt may grow to, for example `PT12H`."""

    failures: Mapping[FailureKind, Then] = Field(default_factory=dict)
    """What to do after some kinds of failure: `retry`, `give up` or `next solve`."""

    grows: Mapping[FailureKind, Growth] = Field(default_factory=dict)
    """What the attempt after some kinds of failure gets more of: `memory`, `wall clock` or `nothing`."""

    @field_validator("failures", "grows", mode="before")
    @classmethod
    def _kinds_may_be_changed(cls, given: Any) -> Any:
        for kind in given if isinstance(given, Mapping) else ():
            _check_kind(str(kind))
        return given

    @model_validator(mode="after")
    def _is_consistent(self) -> "RetryRule":
        if self.name == DEFAULT_RULE:
            raise ValueError(f"`{DEFAULT_RULE}` is the name of what the settings say: give the rule another one")
        for kind, growth in self.grows.items():
            if growth != "nothing" and self._rule_of(kind).decision is Decision.GIVE_UP:
                raise ValueError(
                    f"nothing can grow after `{kind}`, which is given up: add `{kind}: retry` to `failures`"
                )
        return self

    @property
    def label(self) -> str:
        """Name for people."""
        return self.name or self.match

    def matches(self, provider: str, diagnostic: str) -> bool:
        """Whether the rule matches a diagnostic. Case matters."""
        wanted_provider, wanted_diagnostic = self.match.split("/")
        return fnmatchcase(provider, wanted_provider) and fnmatchcase(diagnostic, wanted_diagnostic)

    def applied_to(self, default: RetryPolicy) -> RetryPolicy:
        """Return the policy of the settings with this rule applied."""
        limits = {name: value for name in _LIMITS if (value := getattr(self, name)) is not None}
        changed = {kind: self._rule_of(kind) for kind in [*self.failures, *self.grows]}
        return default.model_copy(update={**limits, "rule": self.label, "changed": changed})

    def _rule_of(self, kind: FailureKind) -> FailureRule:
        usual = FAILURE_RULES[kind]
        then, grows = self.failures.get(kind), self.grows.get(kind)
        return usual.model_copy(
            update={
                "decision": _DECISIONS[then] if then else usual.decision,
                "grows": usual.grows if grows is None else None if grows == "nothing" else grows,
            }
        )


def _check_kind(kind: str) -> None:
    valid = [known.value for known in FailureKind if FAILURE_RULES[known].may_be_changed]
    listed = f"Kinds that may be changed: {', '.join(sorted(valid))}"
    if kind not in {known.value for known in FailureKind}:
        close = difflib.get_close_matches(kind, valid, 1)
        meant = f" (is it `{close[0]}`?)" if close else ""
        raise ValueError(f"there is no kind of failure `{kind}`{meant}. {listed}")
    if kind not in valid:
        why = _WHY_FIXED[FAILURE_RULES[FailureKind(kind)].fault]
        raise ValueError(f"what follows `{kind}` cannot be changed: {why}. {listed}")


class RetryPolicies:
    """
    The retry policy of each diagnostic.

    Parameters
    ----------
    default
        The policy if no rule matches.
    rules
        The first that matches a diagnostic decides.
    """

    def __init__(self, default: RetryPolicy | None = None, rules: Iterable[RetryRule] = ()) -> None:
        self._default = default or RetryPolicy()
        self._rules = tuple(rules)
        self._known: dict[tuple[str, str], RetryPolicy] = {}

    def of(self, provider: str, diagnostic: str) -> RetryPolicy:
        """Return the policy for a diagnostic."""
        key = provider, diagnostic
        if key not in self._known:
            found = (rule for rule in self._rules if rule.matches(provider, diagnostic))
            rule = next(found, None)
            self._known[key] = rule.applied_to(self._default) if rule else self._default
        return self._known[key]


def retry_policies(settings: Settings, rules: Sequence[RetryRule] = ()) -> RetryPolicies:
    """
    Return the policies: rules of a flow's parameter come before those of the site's file.

    Parameters
    ----------
    settings
        The settings, which hold the policy without rules and the path of the file.
    rules
        The flow's parameter.

    Raises
    ------
    BadInputError
        If the file cannot be read or is invalid. The message says what is valid.
    """
    path = settings.retry_rules_path
    of_site = read_retry_rules(path) if path else ()
    return RetryPolicies(RetryPolicy.from_settings(settings), [*rules, *of_site])


def read_retry_rules(path: Path) -> tuple[RetryRule, ...]:
    """
    Read retry rules.

    Parameters
    ----------
    path
        YAML: a list of rules, each with the fields of `RetryRule`.

    Raises
    ------
    BadInputError
        If the file cannot be read or a rule is invalid. The message names the rule and what is valid.
    """
    return read_rule_list(path, RetryRule, "retry rules")

"""The retry policy: what follows an outcome, by the table of failure kinds, the limits, and the dirty rule."""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, TypeVar

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import (
    FAILURE_RULES,
    Decision,
    FailureKind,
    FailureRule,
    Limit,
    Resource,
)
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.port import AttemptCounts
from climate_ref_prefect.transports.port import ResourcesRefusedError

Amount = TypeVar("Amount", int, timedelta)
Fit = Callable[[ResourceHint], ResourceHint]
"""Returns what a transport grants for a hint, or raises `ResourcesRefusedError`."""


_IN_WORDS: Final = {Decision.GIVE_UP: "given up", Decision.RETRY_LATER: "left to the next solve"}

DEFAULT_RULE: Final = "default"
"""Name of the policy by the settings alone, if no retry rule applies."""


class Classification(FrozenModel):
    """The decision on one attempt."""

    decision: Decision
    counts: bool
    """Whether it counts as an attempt."""

    reason: str
    """For people, if the failure itself does not explain the decision."""

    resources: ResourceHint
    """The resources that the next attempt asks for, if there is one."""

    @property
    def succeeded(self) -> bool:
        """Whether there are results."""
        return self.decision is Decision.SUCCESS

    @property
    def retryable(self) -> bool:
        """Whether another attempt may succeed."""
        return self.decision.is_retry

    @property
    def clears_dirty(self) -> bool:
        """The dirty rule: success and giving up clear the flag. It stays while an attempt may still succeed."""
        return not self.retryable


class RetryPolicy(FrozenModel):
    """Decides what an outcome means. Its limits have the names of those in `Settings`."""

    rule: str = DEFAULT_RULE
    """The retry rule that it comes from, for people."""

    max_attempts: int = 3
    max_lost: int = 5
    growth_factor: float = 2.0
    max_memory_mb: int | None = None
    max_wall_clock: timedelta | None = None
    changed: Mapping[FailureKind, FailureRule] = Field(default_factory=dict)
    """The rules in which a retry rule differs from `FAILURE_RULES`."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetryPolicy":
        """Return the policy that a site has set."""
        return cls(**{name: getattr(settings, name) for name in cls.model_fields if name in Settings.model_fields})

    def rule_of(self, kind: FailureKind) -> FailureRule:
        """Return what a kind of failure leads to."""
        return self.changed.get(kind, FAILURE_RULES[kind])

    def classify(
        self,
        outcome: ExecutionOutcome,
        resources: ResourceHint,
        counts: AttemptCounts,
        fit: Fit = lambda asked: asked,
    ) -> Classification:
        """
        Decide what follows an attempt.

        Parameters
        ----------
        outcome
            How it ended.
        resources
            The resources that it was granted.
        counts
            Counts of the earlier attempts on the same inputs.
        fit
            Returns what the transport grants for a hint.
        """
        if outcome.failure is None:
            return Classification(decision=Decision.SUCCESS, counts=True, reason="", resources=resources)
        kind = outcome.failure.kind
        rule = self.rule_of(kind)
        verdict = Classification(
            decision=rule.decision, counts=rule.counts, reason=self._changed_by_rule(kind), resources=resources
        )
        usual = FAILURE_RULES[kind]
        if rule.decision is Decision.GIVE_UP or (rule.decision is usual.decision and usual.limit is Limit.NONE):
            return verdict
        if limit := self._limit_reached(rule, counts):
            # What the table itself leaves to the next solve for ever is never given up for being tried too often.
            decision = usual.decision if usual.limit is Limit.NONE else Decision.GIVE_UP
            return verdict.model_copy(update={"decision": decision, "reason": limit})
        grows = rule.grows if rule.decision is Decision.RETRY else None  # the next solve asks `after`
        return self._grown(verdict, grows, fit) if grows else verdict

    def after(self, kind: FailureKind | None, given: ResourceHint, fit: Fit = lambda asked: asked) -> ResourceHint:
        """Return the resources for an attempt that a later solve makes after a failure."""
        grows = self.rule_of(kind).grows if kind else None
        if grows is None:
            return given
        larger = self._larger(given, grows)
        try:
            fit(larger)
        except ResourcesRefusedError:
            return given
        return larger

    def continued(
        self, planned: ResourceHint, failure: FailureKind | None, last_asked: ResourceHint, fit: Fit
    ) -> ResourceHint:
        """
        Return what is planned for a group, raised to what the last attempt of an earlier solve has shown that it needs.

        Parameters
        ----------
        planned
            What a first attempt would ask for.
        failure
            Why the last attempt failed, if another one may succeed.
        last_asked
            What that one asked for.
        fit
            Returns what the transport grants for a hint.
        """
        grown = self.after(failure, last_asked, fit)
        larger = {
            "memory_mb": max(planned.memory_mb, grown.memory_mb),
            "wall_clock": max(planned.wall_clock, grown.wall_clock),
        }
        return planned.model_copy(update=larger)

    def _limit_reached(self, rule: FailureRule, counts: AttemptCounts) -> str:
        if rule.limit is Limit.ATTEMPTS and counts.counted + 1 >= self.max_attempts:
            return f"given up after {_times(counts.counted + 1, 'attempt')}{self._by_rule()}"
        if rule.limit is Limit.LOST and counts.lost >= self.max_lost:
            return f"given up after it was lost {_times(counts.lost + 1, 'time')}{self._by_rule()}"
        if rule.limit is Limit.NONE and counts.unavailable >= self.max_lost:
            tries = _times(counts.unavailable + 1, "time")
            return f"left to the next solve after it was tried {tries} in this one{self._by_rule()}"
        return ""

    def _by_rule(self) -> str:
        return "" if self.rule == DEFAULT_RULE else f", by the retry rule {self.rule!r}"

    def _changed_by_rule(self, kind: FailureKind) -> str:
        decision = self.rule_of(kind).decision
        if decision in (FAILURE_RULES[kind].decision, Decision.RETRY):
            return ""
        return f"{_IN_WORDS[decision]} by the retry rule {self.rule!r}"

    def _grown(self, verdict: Classification, grows: Resource, fit: Fit) -> Classification:
        given = verdict.resources
        try:
            larger = fit(self._larger(given, grows))
        except ResourcesRefusedError as error:
            return verdict.model_copy(update={"decision": Decision.GIVE_UP, "reason": str(error)})
        if (larger.memory_mb, larger.wall_clock) <= (given.memory_mb, given.wall_clock):
            reason = f"given up: the {grows} is at this site's limit ({_amount(given, grows)})"
            return verdict.model_copy(update={"decision": Decision.GIVE_UP, "reason": reason})
        reason = f"next attempt with more {grows}: {_amount(larger, grows)} instead of {_amount(given, grows)}"
        return verdict.model_copy(update={"resources": larger, "reason": reason})

    def _larger(self, given: ResourceHint, grows: Resource) -> ResourceHint:
        if grows == "memory":
            memory_mb = math.ceil(given.memory_mb * self.growth_factor)
            return given.model_copy(update={"memory_mb": max(given.memory_mb, _capped(memory_mb, self.max_memory_mb))})
        wall_clock = _capped(given.wall_clock * self.growth_factor, self.max_wall_clock)
        return given.model_copy(update={"wall_clock": max(given.wall_clock, wall_clock)})


def _capped(amount: Amount, limit: Amount | None) -> Amount:
    return amount if limit is None else min(amount, limit)


def _times(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _amount(resources: ResourceHint, resource: Resource) -> str:
    return f"{resources.memory_mb} MiB" if resource == "memory" else str(resources.wall_clock)

"""What is made of an outcome: the classification, what grows, and the dirty rule. The one place that decides."""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final, Literal, TypeVar

from pydantic import Field

from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionOutcome, FailureKind
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.port import ResourcesRefusedError

Amount = TypeVar("Amount", int, timedelta)
Resource = Literal["memory", "wall clock"]
Fit = Callable[[ResourceHint], ResourceHint]
"""What a transport gives for what is asked; raises `ResourcesRefusedError` where nothing fits."""


class Decision(StrEnum):
    """What becomes of an execution group after an attempt."""

    SUCCESS = "success"
    RETRY = "retry"
    """Another attempt starts now."""
    RETRY_LATER = "retry later"
    """Another attempt may succeed, but not now: the next solve starts it."""
    GIVE_UP = "give up"


class Fault(StrEnum):
    """Whose fault a failure is: what becomes of the execution follows from it."""

    DIAGNOSTIC = "the diagnostic"
    SIZE = "its size"
    UNKNOWN = "unknown"
    PLACE = "the place"
    REFUSED = "the place, for good"
    INPUTS = "its inputs"
    """They are not what was planned: only another plan helps."""
    HOUSE = "the house"
    USER = "the user"


class KindRule(FrozenModel):
    """What a kind of failure leads to."""

    fault: Fault
    decision: Decision
    grows: Resource | None = None
    counts: bool = True
    """Whether such an attempt counts towards the limit of attempts."""

    @property
    def is_bounded(self) -> bool:
        """Whether it is given up when it has been tried often: not for what says nothing about the execution."""
        return self.counts or (self.decision is Decision.RETRY and self.fault is not Fault.HOUSE)

    @property
    def may_be_changed(self) -> bool:
        """Whether a retry rule may decide otherwise: it may not for what says nothing about the execution."""
        return self.fault in (Fault.DIAGNOSTIC, Fault.SIZE, Fault.UNKNOWN, Fault.PLACE)


_GIVE_UP: Final = KindRule(fault=Fault.DIAGNOSTIC, decision=Decision.GIVE_UP)
_REFUSED: Final = KindRule(fault=Fault.REFUSED, decision=Decision.GIVE_UP)
_RETRY: Final = KindRule(fault=Fault.UNKNOWN, decision=Decision.RETRY)
_LOST: Final = KindRule(fault=Fault.PLACE, decision=Decision.RETRY, counts=False)
_NO_PLACE: Final = KindRule(fault=Fault.PLACE, decision=Decision.RETRY_LATER, counts=False)
_HOUSE: Final = KindRule(fault=Fault.HOUSE, decision=Decision.RETRY_LATER, counts=False)
_USER: Final = KindRule(fault=Fault.USER, decision=Decision.RETRY_LATER, counts=False)

RULES: Final[Mapping[FailureKind, KindRule]] = {
    FailureKind.DIAGNOSTIC_ERROR: _GIVE_UP,
    FailureKind.INVALID_RESULT: _GIVE_UP,
    FailureKind.VOCABULARY_MISMATCH: _GIVE_UP,
    FailureKind.PROVIDER_IMPORT: _GIVE_UP,
    FailureKind.SCHEMA_MISMATCH: KindRule(fault=Fault.HOUSE, decision=Decision.GIVE_UP),
    FailureKind.SUBMISSION_REFUSED: _REFUSED,
    FailureKind.SYSTEM_ERROR: _RETRY,
    FailureKind.CRASHED: _RETRY,
    FailureKind.KILLED: _RETRY,
    FailureKind.OUT_OF_MEMORY: KindRule(fault=Fault.SIZE, decision=Decision.RETRY, grows="memory"),
    FailureKind.TIMEOUT: KindRule(fault=Fault.SIZE, decision=Decision.RETRY, grows="wall clock"),
    FailureKind.WORKER_LOST: _LOST,
    FailureKind.ALREADY_CLAIMED: _LOST,
    FailureKind.SCRATCH_FULL: KindRule(fault=Fault.HOUSE, decision=Decision.RETRY, counts=False),
    FailureKind.INPUT_CHANGED: KindRule(fault=Fault.INPUTS, decision=Decision.RETRY_LATER, counts=False),
    FailureKind.COORDINATOR_LOST: _HOUSE,
    FailureKind.PUBLISH_FAILED: KindRule(fault=Fault.UNKNOWN, decision=Decision.RETRY_LATER),
    FailureKind.UNAVAILABLE: _NO_PLACE,
    FailureKind.CANCELLED: _USER,
}
"""What each kind of failure leads to; docs/explanation/failures.md says why."""

_IN_WORDS: Final = {Decision.GIVE_UP: "given up", Decision.RETRY_LATER: "left to the next solve"}

DEFAULT_RULE: Final = "default"
"""What the settings alone decide by, where no retry rule applies."""


class Standing(FrozenModel):
    """How often a group has been tried on the same inputs, this attempt left out."""

    attempts: int = 0
    """All attempts, whatever came of them."""

    counted: int = 0
    """Those that count towards the limit."""

    lost: int = 0
    """Those that were lost with their worker or node."""


class Verdict(FrozenModel):
    """The decision on one attempt."""

    decision: Decision
    counts: bool
    """Whether it counts as an attempt."""

    reason: str
    """For people, where the decision is not plain from the failure itself."""

    resources: ResourceHint
    """What the next attempt asks for, if there is one."""

    @property
    def succeeded(self) -> bool:
        """Whether there are results."""
        return self.decision is Decision.SUCCESS

    @property
    def retryable(self) -> bool:
        """Whether another attempt may succeed."""
        return self.decision in (Decision.RETRY, Decision.RETRY_LATER)

    @property
    def clears_dirty(self) -> bool:
        """The dirty rule: success and giving up clear the flag, everything that may still succeed leaves it."""
        return not self.retryable


class RetryPolicy(FrozenModel):
    """Decides once what an outcome means; its limits are those of `Settings` by the same names."""

    rule: str = DEFAULT_RULE
    """The retry rule that it comes from, for people."""

    max_attempts: int = 3
    max_lost: int = 5
    growth_factor: float = 2.0
    max_memory_mb: int | None = None
    max_wall_clock: timedelta | None = None
    changed: Mapping[FailureKind, KindRule] = Field(default_factory=dict)
    """What a retry rule decides otherwise than `RULES` does."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetryPolicy":
        """Return the policy that a site has set."""
        return cls(**{name: getattr(settings, name) for name in cls.model_fields if name in Settings.model_fields})

    def rule_of(self, kind: FailureKind) -> KindRule:
        """Return what a kind of failure leads to."""
        return self.changed.get(kind, RULES[kind])

    def classify(
        self, outcome: ExecutionOutcome, resources: ResourceHint, standing: Standing, fit: Fit = lambda asked: asked
    ) -> Verdict:
        """
        Decide what comes after an attempt.

        Parameters
        ----------
        outcome
            How it ended.
        resources
            What it was given.
        standing
            What was tried before on the same inputs.
        fit
            What the transport gives for what is asked.
        """
        if outcome.failure is None:
            return Verdict(decision=Decision.SUCCESS, counts=True, reason="", resources=resources)
        kind = outcome.failure.kind
        rule = self.rule_of(kind)
        verdict = Verdict(
            decision=rule.decision, counts=rule.counts, reason=self._changed_by_rule(kind), resources=resources
        )
        usual = RULES[kind]
        if rule.decision is Decision.GIVE_UP or (rule.decision is usual.decision and not usual.is_bounded):
            return verdict
        if limit := self._limit_reached(rule, standing):
            # What the table itself leaves to the next solve for ever is never given up for being tried too often.
            decision = Decision.GIVE_UP if usual.is_bounded else usual.decision
            return verdict.model_copy(update={"decision": decision, "reason": limit})
        grows = rule.grows if rule.decision is Decision.RETRY else None  # the next solve asks `after`
        return self._grown(verdict, grows, fit) if grows else verdict

    def after(self, kind: FailureKind | None, given: ResourceHint, fit: Fit = lambda asked: asked) -> ResourceHint:
        """Return what to ask for after a failure whose next attempt is another solve's to allocate."""
        grows = self.rule_of(kind).grows if kind else None
        if grows is None:
            return given
        larger = self._larger(given, grows)
        try:
            fit(larger)
        except ResourcesRefusedError:
            return given
        return larger

    def _limit_reached(self, rule: KindRule, standing: Standing) -> str:
        if rule.counts and standing.counted + 1 >= self.max_attempts:
            return f"given up after {_times(standing.counted + 1, 'attempt')}{self._by_rule()}"
        if not rule.counts and standing.lost >= self.max_lost:
            return f"given up after it was lost {_times(standing.lost + 1, 'time')}{self._by_rule()}"
        return ""

    def _by_rule(self) -> str:
        return "" if self.rule == DEFAULT_RULE else f", by the retry rule {self.rule!r}"

    def _changed_by_rule(self, kind: FailureKind) -> str:
        decision = self.rule_of(kind).decision
        if decision in (RULES[kind].decision, Decision.RETRY):
            return ""
        return f"{_IN_WORDS[decision]} by the retry rule {self.rule!r}"

    def _grown(self, verdict: Verdict, grows: Resource, fit: Fit) -> Verdict:
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

"""The table of failure kinds: complete, without contradictions, and in words."""

import pytest

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind, Fault, Limit


def test_every_kind_has_a_rule() -> None:
    assert set(FAILURE_RULES) == set(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_is_in_words(kind: FailureKind) -> None:
    rule = FAILURE_RULES[kind]
    assert rule.title
    assert rule.title == rule.title.lower().rstrip(".")
    for sentences in (rule.meaning, rule.next_step):
        assert sentences.endswith(".")
        assert "|" not in sentences  # they are cells of Markdown tables


def test_titles_are_different() -> None:
    assert len({rule.title for rule in FAILURE_RULES.values()}) == len(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_what_says_nothing_about_the_execution_is_never_a_reason_to_give_it_up(kind: FailureKind) -> None:
    rule = FAILURE_RULES[kind]
    if rule.limit is Limit.NONE:
        assert rule.decision.is_retry
        assert not rule.counts
    if rule.fault is Fault.USER:
        assert rule.limit is Limit.NONE


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_is_retried_grows(kind: FailureKind) -> None:
    rule = FAILURE_RULES[kind]
    assert rule.grows is None or (rule.decision is Decision.RETRY and rule.fault is Fault.SIZE)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_real_cause_hides_nothing_further_in_turn(kind: FailureKind) -> None:
    for cause in FAILURE_RULES[kind].may_hide:
        assert kind not in FAILURE_RULES[cause].may_hide


@pytest.mark.parametrize("kind", FailureKind)
def test_what_the_backend_explains_is_a_fault_of_the_backend_or_the_infrastructure(kind: FailureKind) -> None:
    rule = FAILURE_RULES[kind]
    if rule.backend_knows_why or rule.may_still_run:
        assert rule.fault in (Fault.BACKEND, Fault.INFRASTRUCTURE)
        assert not rule.has_results

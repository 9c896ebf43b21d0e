"""Retry rules: how they are read, which one applies, and what it changes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.flows.retry.retry_policy import RetryPolicy
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies, RetryRule, read_retry_rules, retry_policies
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.port import AttemptCounts

GIVEN = ResourceHint(memory_mb=1000, cpu=1, wall_clock=timedelta(minutes=10))
FIXED = sorted(kind for kind in FailureKind if not FAILURE_RULES[kind].may_be_changed)
FREE = sorted(kind for kind in FailureKind if FAILURE_RULES[kind].may_be_changed)


def failed(kind: FailureKind) -> ExecutionOutcome:
    return ExecutionOutcome(execution_id=1, failure=ExecutionFailure(kind=kind, message="why"))


def policy(**rule: object) -> RetryPolicy:
    """Return what a rule makes of the default."""
    made = RetryRule.model_validate({"match": "demo/*", "name": "mine", **rule})
    return RetryPolicies(RetryPolicy(), [made]).of("demo", "annual-cycle")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the rules are written."""
    return tmp_path / "retry.yaml"


class TestWhichOneApplies:
    """The first that matches provider and diagnostic; without one the settings."""

    RULES = (
        RetryRule(match="demo/annual-*", name="annual", max_attempts=7),
        RetryRule(match="demo/*", max_attempts=5),
        RetryRule(match="*/linear-trend", name="trends", max_attempts=2),
    )

    @pytest.mark.parametrize(
        ("provider", "diagnostic", "rule", "attempts"),
        [
            ("demo", "annual-cycle", "annual", 7),
            ("demo", "linear-trend", "demo/*", 5),
            ("ilamb", "linear-trend", "trends", 2),
            ("ilamb", "annual-cycle", "default", 9),
            ("demonstration", "annual-cycle", "default", 9),
        ],
    )
    def test_the_first_that_matches(self, provider: str, diagnostic: str, rule: str, attempts: int) -> None:
        found = RetryPolicies(RetryPolicy(max_attempts=9), self.RULES).of(provider, diagnostic)
        assert (found.rule, found.max_attempts) == (rule, attempts)

    def test_what_a_rule_does_not_say_is_as_in_the_settings(self) -> None:
        default = RetryPolicy(max_attempts=9, max_lost=1, growth_factor=3, max_memory_mb=5000)
        found = RetryPolicies(default, [RetryRule(match="*/*", max_lost=0)]).of("demo", "annual-cycle")
        assert found == default.model_copy(update={"rule": "*/*", "max_lost": 0})

    def test_parameter_over_file_over_default(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(file.parent))
        monkeypatch.setenv("CLIMATE_REF_PREFECT_MAX_ATTEMPTS", "4")
        assert retry_policies(Settings()).of("demo", "a").max_attempts == 4
        file.write_text("- {match: demo/*, max_attempts: 5}\n- {match: demo/b, max_attempts: 1}")
        assert retry_policies(Settings()).of("demo", "a").max_attempts == 5
        given = [RetryRule(match="*/a", max_attempts=6)]
        policies = retry_policies(Settings(), given)
        assert [policies.of(*name).max_attempts for name in (("demo", "a"), ("demo", "b"), ("x", "b"))] == [6, 5, 4]

    def test_another_file_is_named_by_the_settings(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        other = file.with_name("other.yaml")
        monkeypatch.setenv("CLIMATE_REF_PREFECT_RETRY_RULES", str(other))
        with pytest.raises(BadInputError, match=r"other\.yaml cannot be read.*No such file"):
            retry_policies(Settings())
        other.write_text("- {match: '*/*', max_attempts: 8}")
        assert retry_policies(Settings()).of("demo", "a").max_attempts == 8


class TestWhatItChanges:
    """What follows a kind of failure, what grows, and how far."""

    @pytest.mark.parametrize("kind", FREE)
    @pytest.mark.parametrize(
        ("then", "decision"),
        [("retry", Decision.RETRY), ("give up", Decision.GIVE_UP), ("next solve", Decision.RETRY_LATER)],
    )
    def test_what_follows_a_kind(self, kind: FailureKind, then: str, decision: Decision) -> None:
        verdict = policy(failures={kind: then}).classify(failed(kind), GIVEN, AttemptCounts())
        assert verdict.decision is decision
        assert verdict.counts == FAILURE_RULES[kind].counts
        if decision not in (FAILURE_RULES[kind].decision, Decision.RETRY):
            assert "by the retry rule 'mine'" in verdict.reason

    @pytest.mark.parametrize("kind", FailureKind)
    def test_the_other_kinds_stay_as_they_are(self, kind: FailureKind) -> None:
        changed = policy(failures={"crashed": "give up"}, max_attempts=3)
        if kind is not FailureKind.CRASHED:
            usual = RetryPolicy().classify(failed(kind), GIVEN, AttemptCounts())
            assert changed.classify(failed(kind), GIVEN, AttemptCounts()) == usual

    @pytest.mark.parametrize("kind", [FailureKind.DIAGNOSTIC_ERROR, FailureKind.CRASHED, FailureKind.TIMEOUT])
    @pytest.mark.parametrize("then", ["retry", "next solve"])
    def test_attempts_that_count_are_bounded_whenever_they_are_made(self, kind: FailureKind, then: str) -> None:
        changed = policy(failures={kind: then}, max_attempts=2)
        verdict = changed.classify(failed(kind), GIVEN, AttemptCounts(counted=1))
        assert verdict.decision is Decision.GIVE_UP
        assert "given up after 2 attempts, by the retry rule 'mine'" in verdict.reason

    def test_lost_attempts_are_bounded_by_their_own_limit(self) -> None:
        changed = policy(failures={"worker_lost": "next solve"}, max_lost=1)
        later, last = (
            changed.classify(failed(FailureKind.WORKER_LOST), GIVEN, AttemptCounts(lost=lost)).decision
            for lost in (0, 1)
        )
        assert (later, last) == (Decision.RETRY_LATER, Decision.GIVE_UP)

    def test_a_busy_backend_is_never_a_reason_to_give_up(self) -> None:
        changed = policy(failures={"unavailable": "retry"}, max_lost=2)
        verdicts = [
            changed.classify(failed(FailureKind.UNAVAILABLE), GIVEN, AttemptCounts(lost=9, unavailable=before))
            for before in (0, 2)
        ]
        assert [verdict.decision for verdict in verdicts] == [Decision.RETRY, Decision.RETRY_LATER]
        assert (
            verdicts[1].reason
            == "left to the next solve after it was tried 3 times in this one, by the retry rule 'mine'"
        )

    def test_a_place_that_was_busy_is_not_held_against_an_execution_that_is_lost_later(self) -> None:
        before = AttemptCounts()
        for _ in range(9):
            before = before.after(FailureKind.UNAVAILABLE, counts=False)
        changed = policy(failures={"unavailable": "retry"}, max_lost=2)
        assert changed.classify(failed(FailureKind.WORKER_LOST), GIVEN, before).decision is Decision.RETRY

    def test_growth_may_be_added_and_taken_away(self) -> None:
        changed = policy(grows={"killed": "memory", "timeout": "nothing"}, growth_factor=1.5)
        assert changed.classify(failed(FailureKind.KILLED), GIVEN, AttemptCounts()).resources.memory_mb == 1500
        assert changed.after(FailureKind.KILLED, GIVEN).memory_mb == 1500
        assert changed.classify(failed(FailureKind.TIMEOUT), GIVEN, AttemptCounts()).resources == GIVEN
        assert changed.after(FailureKind.TIMEOUT, GIVEN) == GIVEN

    def test_growth_waits_with_the_attempt_for_the_next_solve(self) -> None:
        changed = policy(failures={"out_of_memory": "next solve"}, growth_factor=3, max_memory_mb=2500)
        verdict = changed.classify(failed(FailureKind.OUT_OF_MEMORY), GIVEN, AttemptCounts())
        assert (verdict.decision, verdict.resources) == (Decision.RETRY_LATER, GIVEN)
        assert changed.after(FailureKind.OUT_OF_MEMORY, GIVEN).memory_mb == 2500

    def test_caps(self) -> None:
        changed = policy(max_memory_mb=1200, max_wall_clock="PT12M")
        assert changed.classify(failed(FailureKind.OUT_OF_MEMORY), GIVEN, AttemptCounts()).resources.memory_mb == 1200
        longer = changed.classify(failed(FailureKind.TIMEOUT), GIVEN, AttemptCounts()).resources.wall_clock
        assert longer == timedelta(minutes=12)


class TestRefusals:
    """In words, with what would be right, before anything starts."""

    @pytest.mark.parametrize("field", ["failures", "grows"])
    @pytest.mark.parametrize("kind", FIXED)
    def test_what_says_nothing_about_the_execution_cannot_be_changed(self, field: str, kind: FailureKind) -> None:
        value = "give up" if field == "failures" else "memory"
        with pytest.raises(ValidationError, match=f"what follows `{kind}` cannot be changed") as refused:
            policy(**{field: {kind: value}})
        assert all(free in str(refused.value) for free in FREE)

    def test_infrastructure_faults_cancellation_and_final_refusals_are_fixed(self) -> None:
        assert {"cancelled", "submission_refused", "scratch_full", "coordinator_lost", "schema_mismatch"} <= set(FIXED)
        assert {"diagnostic_error", "out_of_memory", "crashed", "worker_lost", "unavailable"} <= set(FREE)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("- {match: demo/*, max_atempts: 2}", r"Rule 1 .*no field `max_atempts` \(is it `max_attempts`\?\)"),
            ("- {match: demo/*}\n- {max_attempts: 2}", "Rule 2 .*match: Field required"),
            ("- {match: demo}", "Rule 1 .*match"),
            ("- {match: demo/*, max_attempts: yes}", "Rule 1 .*max_attempts: .*valid integer"),
            ("- {match: demo/*, max_lost: '3'}", "Rule 1 .*max_lost: .*valid integer"),
            ("- {match: demo/*, max_memory_mb: true}", "Rule 1 .*max_memory_mb: .*valid integer"),
            ("- {match: demo/a/b}", "Rule 1 .*match"),
            ("- {match: demo/*, failures: {crash: retry}}", r"no kind of failure `crash` .*crashed.*killed"),
            ("- {match: demo/*, failures: {oom: retry}}", r"no kind of failure `oom`.*out_of_memory"),
            ("- {match: demo/*, failures: {crashed: again}}", "'retry', 'give up' or 'next solve'"),
            ("- {match: demo/*, failures: {cancelled: retry}}", "`cancelled` cannot be changed: .*the user"),
            ("- {match: demo/*, failures: {submission_refused: retry}}", "`submission_refused` .*refuses for good"),
            ("- {match: demo/*, failures: {scratch_full: give up}}", "`scratch_full` .*infrastructure fault"),
            ("- {match: demo/*, grows: {diagnostic_error: memory}}", "add `diagnostic_error: retry` to `failures`"),
            ("- {match: demo/*, grows: {killed: cpu}}", "'memory', 'wall clock' or 'nothing'"),
            ("- {match: demo/*, max_attempts: 0}", "max_attempts: .*greater than or equal to 1"),
            ("- {match: demo/*, growth_factor: 1}", "growth_factor: .*greater than 1"),
            ("- {match: demo/*, growth_factor: .inf}", "growth_factor"),
            ("- {match: demo/*, max_wall_clock: 3600}", "max_wall_clock: an ISO 8601 duration"),
            ("- {match: demo/*, name: default}", "`default` is the name"),
            ("- {match: demo/*, max_lost: 1, max_lost: 2}", "`max_lost` is there twice"),
            ("- demo/*", "Rule 1 .*"),
            ("match: demo/*", "must be a list: each rule begins with `- match"),
            ("- {match: [", "cannot be read"),
        ],
    )
    def test_a_file_that_is_wrong(self, file: Path, text: str, words: str) -> None:
        file.write_text(text)
        with pytest.raises(BadInputError, match=words) as refused:
            read_retry_rules(file)
        assert str(file) in str(refused.value)

    @pytest.mark.parametrize("factor", ["inf", "nan", "1e308"])
    def test_a_growth_without_bounds_in_the_settings(self, factor: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLIMATE_REF_PREFECT_GROWTH_FACTOR", factor)
        with pytest.raises(ValidationError, match="growth_factor"):
            Settings()

    def test_a_file_that_is_no_text(self, file: Path) -> None:
        file.write_bytes(b"- {match: demo/\xff}")
        with pytest.raises(BadInputError, match="cannot be read"):
            read_retry_rules(file)

    @pytest.mark.parametrize("text", ["", "# none yet\n", "[]"])
    def test_a_file_without_rules(self, file: Path, text: str) -> None:
        file.write_text(text)
        assert read_retry_rules(file) == ()


rules = st.builds(
    RetryRule,
    match=st.sampled_from(["*/*", "demo/annual-*", "é/x?[a-c]"]),
    name=st.sampled_from(["", "mine"]),
    max_attempts=st.none() | st.integers(1, 9),
    max_lost=st.none() | st.integers(0, 9),
    growth_factor=st.none() | st.floats(1.1, 100),
    max_wall_clock=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
    failures=st.dictionaries(st.sampled_from(FREE), st.sampled_from(["retry", "next solve"])),
)


@given(rules)
def test_a_rule_is_the_same_after_a_round_trip_through_json(rule: RetryRule) -> None:
    assert RetryRule.model_validate(json.loads(rule.model_dump_json())) == rule


@given(rules, st.sampled_from(FIXED), st.integers(0, 20))
def test_no_rule_changes_what_is_fixed(rule: RetryRule, kind: FailureKind, tried: int) -> None:
    standing = AttemptCounts(counted=tried, lost=tried)
    changed = rule.applied_to(RetryPolicy())
    usual = RetryPolicy().classify(failed(kind), GIVEN, standing)
    assert changed.classify(failed(kind), GIVEN, standing).decision is usual.decision

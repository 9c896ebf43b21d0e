"""What each kind of failure leads to, what grows, what counts, and where it stops: the table of the design."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import Decision, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome
from climate_ref_prefect.flows.retry.retry_policy import Classification, RetryPolicy
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.port import AttemptCounts
from climate_ref_prefect.transports.port import ResourcesRefusedError

GIVEN = ResourceHint(memory_mb=1000, cpu=3, wall_clock=timedelta(minutes=10), queue="long")
FIRST = AttemptCounts()


class Row(NamedTuple):
    """A line of the table: the decision on a first attempt, what the next one has more of, whether it counts."""

    decision: Decision
    grows: str | None = None
    counts: bool = True


GIVE_UP = Row(Decision.GIVE_UP)
RETRY = Row(Decision.RETRY)
LOST = Row(Decision.RETRY, counts=False)
LATER = Row(Decision.RETRY_LATER, counts=False)
TABLE = {
    FailureKind.DIAGNOSTIC_ERROR: GIVE_UP,
    FailureKind.INVALID_RESULT: GIVE_UP,
    FailureKind.VOCABULARY_MISMATCH: GIVE_UP,
    FailureKind.PROVIDER_IMPORT: GIVE_UP,
    FailureKind.SCHEMA_MISMATCH: GIVE_UP,
    FailureKind.SUBMISSION_REFUSED: GIVE_UP,
    FailureKind.SYSTEM_ERROR: RETRY,
    FailureKind.CRASHED: RETRY,
    FailureKind.KILLED: RETRY,
    FailureKind.OUT_OF_MEMORY: Row(Decision.RETRY, grows="memory_mb"),
    FailureKind.TIMEOUT: Row(Decision.RETRY, grows="wall_clock"),
    FailureKind.WORKER_LOST: LOST,
    FailureKind.ALREADY_CLAIMED: LOST,
    FailureKind.SCRATCH_FULL: LOST,
    FailureKind.INPUT_CHANGED: LATER,
    FailureKind.COORDINATOR_LOST: LATER,
    FailureKind.PUBLISH_FAILED: Row(Decision.RETRY_LATER),
    FailureKind.UNAVAILABLE: LATER,
    FailureKind.CANCELLED: LATER,
}
GROWING = [kind for kind, row in TABLE.items() if row.grows]


def failed(kind: FailureKind) -> ExecutionOutcome:
    return ExecutionOutcome(execution_id=1, failure=ExecutionFailure(kind=kind, message="why"))


def grown(verdict: Classification, given: ResourceHint = GIVEN) -> set[str]:
    """Return the names of the fields that are not as they were."""
    return {name for name in ResourceHint.model_fields if getattr(verdict.resources, name) != getattr(given, name)}


def test_the_table_has_a_line_for_every_kind_of_failure() -> None:
    assert set(TABLE) == set(FailureKind)


@pytest.mark.parametrize("kind", FailureKind)
def test_a_first_failure_is_decided_by_its_kind(kind: FailureKind) -> None:
    row = TABLE[kind]
    verdict = RetryPolicy().classify(failed(kind), GIVEN, FIRST)
    assert (verdict.decision, verdict.counts, grown(verdict)) == (
        row.decision,
        row.counts,
        {row.grows} if row.grows else set(),
    )
    assert not verdict.succeeded


@pytest.mark.parametrize("standing", [FIRST, AttemptCounts(counted=99, lost=99)])
def test_a_clean_result_is_a_success_however_often_it_was_tried(standing: AttemptCounts) -> None:
    verdict = RetryPolicy().classify(ExecutionOutcome(execution_id=1), GIVEN, standing)
    assert verdict.succeeded
    assert verdict.counts
    assert not verdict.retryable


@pytest.mark.parametrize("decision", Decision)
def test_the_dirty_rule(decision: Decision) -> None:
    verdict = Classification(decision=decision, counts=True, reason="", resources=GIVEN)
    assert verdict.clears_dirty == (decision in (Decision.SUCCESS, Decision.GIVE_UP))
    assert verdict.clears_dirty != verdict.retryable


class TestGrowth:
    """Only what ran out grows, by the factor, up to the limits."""

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (FailureKind.OUT_OF_MEMORY, {"memory_mb": 3000}),
            (FailureKind.TIMEOUT, {"wall_clock": timedelta(minutes=30)}),
        ],
    )
    def test_what_ran_out_grows_by_the_factor_and_the_reason_says_how_much(
        self, kind: FailureKind, expected: dict[str, object]
    ) -> None:
        verdict = RetryPolicy(growth_factor=3).classify(failed(kind), GIVEN, FIRST)
        assert verdict.resources == GIVEN.model_copy(update=expected)
        for amount in ("3000 MiB", "1000 MiB") if kind is FailureKind.OUT_OF_MEMORY else ("0:30:00", "0:10:00"):
            assert amount in verdict.reason

    @pytest.mark.parametrize("memory_mb", [1, 2, 7])
    def test_the_smallest_memory_grows_too(self, memory_mb: int) -> None:
        given = GIVEN.model_copy(update={"memory_mb": memory_mb})
        verdict = RetryPolicy(growth_factor=1.1).classify(failed(FailureKind.OUT_OF_MEMORY), given, FIRST)
        assert verdict.decision is Decision.RETRY
        assert verdict.resources.memory_mb == memory_mb + 1

    def test_growth_goes_up_to_the_sites_limit(self) -> None:
        policy = RetryPolicy(max_memory_mb=1200, max_wall_clock=timedelta(minutes=12))
        memory = policy.classify(failed(FailureKind.OUT_OF_MEMORY), GIVEN, FIRST)
        time = policy.classify(failed(FailureKind.TIMEOUT), GIVEN, FIRST)
        assert memory.resources.memory_mb == 1200
        assert time.resources.wall_clock == timedelta(minutes=12)
        assert memory.retryable
        assert time.retryable

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (FailureKind.OUT_OF_MEMORY, "memory is at this site's limit (1000 MiB)"),
            (FailureKind.TIMEOUT, "wall clock is at this site's limit (0:10:00)"),
        ],
    )
    @pytest.mark.parametrize("limit", [1.0, 0.5])
    def test_at_the_limit_or_beyond_it_is_given_up_and_says_so(
        self, kind: FailureKind, words: str, limit: float
    ) -> None:
        policy = RetryPolicy(
            max_memory_mb=int(GIVEN.memory_mb * limit), max_wall_clock=GIVEN.wall_clock * limit, max_attempts=9
        )
        verdict = policy.classify(failed(kind), GIVEN, FIRST)
        assert verdict.decision is Decision.GIVE_UP
        assert words in verdict.reason
        assert verdict.resources == GIVEN

    def test_the_transport_cuts_growth_to_what_it_has(self) -> None:
        def cut(asked: ResourceHint) -> ResourceHint:
            return asked.model_copy(update={"memory_mb": min(asked.memory_mb, 1500)})

        policy = RetryPolicy(max_attempts=9)
        larger = policy.classify(failed(FailureKind.OUT_OF_MEMORY), GIVEN, FIRST, cut)
        assert larger.resources.memory_mb == 1500
        at_the_limit = policy.classify(failed(FailureKind.OUT_OF_MEMORY), larger.resources, FIRST, cut)
        assert at_the_limit.decision is Decision.GIVE_UP
        assert "limit (1500 MiB)" in at_the_limit.reason

    @pytest.mark.parametrize("kind", GROWING)
    def test_a_transport_that_grants_no_more_has_it_given_up_with_its_message(self, kind: FailureKind) -> None:
        def refuse(_: ResourceHint) -> ResourceHint:
            raise ResourcesRefusedError("no queue takes more than 2 h")

        verdict = RetryPolicy().classify(failed(kind), GIVEN, FIRST, refuse)
        assert verdict.decision is Decision.GIVE_UP
        assert verdict.reason == "no queue takes more than 2 h"

    @pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind not in GROWING])
    def test_where_nothing_grows_the_transport_is_not_asked(self, kind: FailureKind) -> None:
        def refuse(_: ResourceHint) -> ResourceHint:
            raise AssertionError

        assert RetryPolicy().classify(failed(kind), GIVEN, FIRST, refuse).resources == GIVEN


class TestBounds:
    """How often a group is tried on the same inputs."""

    @pytest.mark.parametrize("kind", [FailureKind.PUBLISH_FAILED])
    def test_what_may_be_published_another_time_is_left_to_a_few_solves(self, kind: FailureKind) -> None:
        decisions = [
            RetryPolicy(max_attempts=3).classify(failed(kind), GIVEN, AttemptCounts(counted=counted)).decision
            for counted in range(3)
        ]
        assert decisions == [Decision.RETRY_LATER, Decision.RETRY_LATER, Decision.GIVE_UP]

    def test_a_full_scratch_is_never_held_against_an_execution(self) -> None:
        verdict = RetryPolicy(max_attempts=1, max_lost=0).classify(
            failed(FailureKind.SCRATCH_FULL), GIVEN, AttemptCounts(counted=99, lost=99)
        )
        assert (verdict.decision, verdict.counts) == (Decision.RETRY, False)

    @pytest.mark.parametrize(
        "kind",
        [
            kind
            for kind, row in TABLE.items()
            if row.decision is Decision.RETRY and kind is not FailureKind.SCRATCH_FULL
        ],
    )
    def test_the_last_attempt_of_all_is_given_up_and_says_how_many_there_were(self, kind: FailureKind) -> None:
        policy = RetryPolicy(max_attempts=4, max_lost=6)
        before, last, number = (
            (AttemptCounts(counted=2, lost=99), AttemptCounts(counted=3), "4 attempts")
            if TABLE[kind].counts
            else (AttemptCounts(counted=99, lost=5), AttemptCounts(lost=6), "lost 7 times")
        )
        assert policy.classify(failed(kind), GIVEN, before).decision is Decision.RETRY
        verdict = policy.classify(failed(kind), GIVEN, last)
        assert verdict.decision is Decision.GIVE_UP
        assert number in verdict.reason
        assert verdict.resources == GIVEN

    @pytest.mark.parametrize("kind", [kind for kind, row in TABLE.items() if row is LATER])
    def test_what_the_user_or_the_coordinators_end_stopped_may_always_be_tried_later(self, kind: FailureKind) -> None:
        verdict = RetryPolicy(max_attempts=1, max_lost=0).classify(
            failed(kind), GIVEN, AttemptCounts(counted=9, lost=9)
        )
        assert verdict.decision is Decision.RETRY_LATER
        assert not verdict.clears_dirty

    def test_with_one_attempt_nothing_that_counts_is_tried_again(self) -> None:
        for kind, row in TABLE.items():
            if row.counts:
                verdict = RetryPolicy(max_attempts=1).classify(failed(kind), GIVEN, FIRST)
                assert verdict.decision is Decision.GIVE_UP


def test_a_site_sets_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIMATE_REF_PREFECT_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("CLIMATE_REF_PREFECT_MAX_LOST", "0")
    monkeypatch.setenv("CLIMATE_REF_PREFECT_GROWTH_FACTOR", "1.5")
    monkeypatch.setenv("CLIMATE_REF_PREFECT_MAX_MEMORY_MB", "64000")
    monkeypatch.setenv("CLIMATE_REF_PREFECT_MAX_WALL_CLOCK", "PT48H")
    assert RetryPolicy.from_settings(Settings()) == RetryPolicy(
        max_attempts=7, max_lost=0, growth_factor=1.5, max_memory_mb=64000, max_wall_clock=timedelta(hours=48)
    )


kinds = st.sampled_from(FailureKind)
hints = st.builds(
    ResourceHint,
    memory_mb=st.integers(1, 1_000_000),
    cpu=st.integers(1, 64),
    wall_clock=st.timedeltas(timedelta(seconds=1), timedelta(days=30)),
)
standings = st.builds(AttemptCounts, counted=st.integers(0, 9), lost=st.integers(0, 9))
policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 6),
    max_lost=st.integers(0, 6),
    growth_factor=st.floats(1.05, 8),
    max_memory_mb=st.none() | st.integers(1, 2_000_000),
    max_wall_clock=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=60)),
)


@given(kinds, hints, standings, policies)
def test_classification_is_pure(
    kind: FailureKind, given_resources: ResourceHint, standing: AttemptCounts, policy: RetryPolicy
) -> None:
    outcome = failed(kind)
    before = [value.model_dump() for value in (outcome, given_resources, standing, policy)]
    first = policy.classify(outcome, given_resources, standing)
    assert policy.classify(outcome, given_resources, standing) == first
    assert [value.model_dump() for value in (outcome, given_resources, standing, policy)] == before


@given(kinds, hints, standings, policies)
def test_growth_is_of_one_thing_never_decreases_and_never_passes_a_limit(
    kind: FailureKind, given_resources: ResourceHint, standing: AttemptCounts, policy: RetryPolicy
) -> None:
    verdict = policy.classify(failed(kind), given_resources, standing)
    row = TABLE[kind]
    retries = verdict.decision is Decision.RETRY
    assert grown(verdict, given_resources) == ({row.grows} if row.grows and retries else set())
    larger = verdict.resources
    assert larger.memory_mb >= given_resources.memory_mb
    assert larger.wall_clock >= given_resources.wall_clock
    assert larger.memory_mb <= max(given_resources.memory_mb, policy.max_memory_mb or larger.memory_mb)
    assert larger.wall_clock <= max(given_resources.wall_clock, policy.max_wall_clock or larger.wall_clock)


bounded = st.sampled_from([kind for kind in FailureKind if kind is not FailureKind.SCRATCH_FULL])


@given(st.lists(bounded, min_size=20, max_size=20), hints, policies)
def test_attempts_in_a_row_are_bounded(
    failures: list[FailureKind], resources: ResourceHint, policy: RetryPolicy
) -> None:
    standing = AttemptCounts()
    for kind in failures:
        verdict = policy.classify(failed(kind), resources, standing)
        resources, standing = verdict.resources, standing.after(kind, counts=verdict.counts)
        if verdict.decision is not Decision.RETRY:
            break
    assert verdict.decision is not Decision.RETRY
    assert standing.counted <= policy.max_attempts
    assert standing.lost <= policy.max_lost + 1


def test_each_attempt_is_counted_by_the_limit_of_its_kind() -> None:
    standing = AttemptCounts()
    for kind in FailureKind:
        standing = standing.after(kind, counts=TABLE[kind].counts)
    assert standing == AttemptCounts(
        attempts=len(TABLE), counted=sum(row.counts for row in TABLE.values()), lost=2, unavailable=1
    )

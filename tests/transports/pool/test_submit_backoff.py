"""The pause before the next submission grows, and ends after a limit."""

import itertools

import pytest

from climate_ref_prefect.transports.batch.pool.submit_backoff import SubmitBackoff

HOUR = 3600.0


def test_the_next_is_submitted_later_each_time_and_after_a_minute_at_the_latest() -> None:
    backoff, now, pauses = SubmitBackoff(), 0.0, []
    assert backoff.is_due(now)
    for _ in range(8):
        backoff = backoff.after_silence(now)
        pauses.append(backoff.not_before - now)
        now = backoff.not_before
        assert backoff.is_due(now)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize(("times", "has_jobs", "exhausted"), [(5, False, False), (6, False, True), (5000, True, False)])
def test_a_limit_on_jobs_is_waited_for_while_there_are_jobs_that_may_end(
    times: int, *, has_jobs: bool, exhausted: bool
) -> None:
    backoff = SubmitBackoff()
    for now in range(times):
        backoff = backoff.after_limit(now, has_jobs=has_jobs)
    assert backoff.is_exhausted(HOUR, timeout_seconds=0) is exhausted


@pytest.mark.parametrize(("timeout_seconds", "exhausted"), [(59.0, True), (61.0, False)])
def test_a_scheduler_without_answers_is_waited_for_up_to_the_limit(timeout_seconds: float, *, exhausted: bool) -> None:
    backoff = SubmitBackoff()
    for now in range(61):
        backoff = backoff.after_silence(now)
    assert backoff.is_exhausted(60, timeout_seconds) is exhausted


def test_tries_at_a_limit_count_from_the_end_of_the_last_job() -> None:
    backoff = SubmitBackoff()
    for now, has_jobs in zip(itertools.count(), (*[True] * 20, *[False] * 5), strict=False):
        backoff = backoff.after_limit(now, has_jobs=has_jobs)
    assert not backoff.is_exhausted(0, HOUR)


def test_the_time_without_answers_counts_from_the_first_unanswered_submission() -> None:
    backoff = SubmitBackoff().after_silence(0).after_limit(5, has_jobs=True)
    assert not backoff.is_exhausted(10, timeout_seconds=0)


def test_three_answers_that_cannot_be_read_are_enough() -> None:
    backoff = SubmitBackoff().after_unreadable_answer(0).after_unreadable_answer(1)
    assert not backoff.is_exhausted(1, HOUR)
    assert backoff.after_unreadable_answer(2).is_exhausted(2, HOUR)

"""Jobs are offered again, later each time, and not for ever."""

from datetime import timedelta

import pytest

from climate_ref_prefect.transports.batch.offers import Offers

HOUR = timedelta(hours=1)


def test_one_that_was_not_taken_is_made_later() -> None:
    offers = Offers(HOUR)
    assert offers.due
    assert not offers.failing
    offers.fail_silently()
    assert offers.failing
    assert not offers.due
    assert not offers.hopeless


@pytest.mark.parametrize(("times", "has_jobs", "hopeless"), [(5, False, False), (6, False, True), (5000, True, False)])
def test_a_limit_on_jobs_is_waited_for_while_there_are_jobs_that_may_end(
    times: int, *, has_jobs: bool, hopeless: bool
) -> None:
    offers = Offers(timedelta(0))
    for _ in range(times):
        offers.fail_at_limit(has_jobs=has_jobs)
    assert offers.hopeless is hopeless


@pytest.mark.parametrize(("patience", "hopeless"), [(timedelta(0), True), (HOUR, False)])
def test_a_silent_scheduler_is_waited_for_as_long_as_is_said(patience: timedelta, *, hopeless: bool) -> None:
    offers = Offers(patience)
    for _ in range(20):
        offers.fail_silently()
    assert offers.hopeless is hopeless


def test_tries_at_a_limit_count_from_the_end_of_the_last_job() -> None:
    offers = Offers(HOUR)
    for has_jobs in (*[True] * 20, *[False] * 5):
        offers.fail_at_limit(has_jobs=has_jobs)
    assert not offers.hopeless


def test_silence_counts_from_the_first_that_was_not_answered() -> None:
    offers = Offers(timedelta(0))
    offers.fail_silently()
    offers.fail_at_limit(has_jobs=True)
    assert not offers.hopeless

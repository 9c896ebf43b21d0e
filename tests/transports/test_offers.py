"""Jobs are offered again, later each time, and not for ever."""

from datetime import timedelta

import pytest

from climate_ref_prefect.transports.batch.offers import Offers


def failed(times: int, patience: timedelta = timedelta(hours=1)) -> Offers:
    offers = Offers(patience)
    for _ in range(times):
        offers.fail()
    return offers


def test_one_that_was_not_taken_is_made_later() -> None:
    offers = failed(1)
    assert offers.failing
    assert not offers.due
    offers.succeed()
    assert offers.due
    assert not offers.failing


@pytest.mark.parametrize(("times", "has_jobs", "hopeless"), [(5, False, False), (6, False, True), (5000, True, False)])
def test_a_limit_on_jobs_is_waited_for_while_there_are_jobs_that_may_end(
    times: int, *, has_jobs: bool, hopeless: bool
) -> None:
    assert failed(times, timedelta(0)).is_hopeless(at_limit=True, has_jobs=has_jobs) is hopeless


@pytest.mark.parametrize(("patience", "hopeless"), [(timedelta(0), True), (timedelta(hours=1), False)])
def test_a_silent_scheduler_is_waited_for_as_long_as_is_said(patience: timedelta, *, hopeless: bool) -> None:
    assert failed(2, patience).is_hopeless(at_limit=False, has_jobs=True) is hopeless

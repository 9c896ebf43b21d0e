"""A size is given up only for causes of its own, and not for what happens to jobs while they start."""

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.dask.pilot_messages import NO_COORDINATOR
from climate_ref_prefect.transports.batch.pool.failed_starts import FailedStarts
from climate_ref_prefect.transports.batch.pool.job import JobState
from climate_ref_prefect.transports.batch.pool.job_events import Polled
from climate_ref_prefect.transports.batch.pool.pool_actions import StartFailed
from climate_ref_prefect.transports.batch.pool.transitions import step
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRecord
from climate_ref_prefect.transports.port import Termination
from tests.transports.pool.making import (
    CANCELLED,
    FAILED,
    NODE_FAIL,
    NOW,
    OUT_OF_MEMORY,
    PREEMPTED,
    RUNNING,
    TIMEOUT,
    UNKNOWN,
    job,
)

HOUR = 3600.0
CUT_OFF = f"{NO_COORDINATOR}: Timed out trying to connect to tls://login1:1 after 60 s"


def failed_start(record: JobRecord, output: str | None = None) -> StartFailed:
    queued = job(JobState.QUEUED, unknown_polls=1)
    closed, (failed,) = step(queued, Polled(record, NOW, output), NOW)
    assert closed.state is JobState.CLOSED
    assert isinstance(failed, StartFailed)
    return failed


def rejected(*failures: StartFailed, seconds_between: float = 0.0) -> Termination | None:
    starts, cause = FailedStarts(), None
    for number, failed in enumerate(failures):
        now = NOW + number * seconds_between
        starts = starts.after(failed, now)
        cause = cause or starts.cause_to_reject(failed, "SLURM", now, HOUR)
    return cause


OWN = {
    "ended by itself": (FAILED, "the module system is down"),
    "ended by itself, without output so far": (FAILED, None),
    "too small for its worker": (OUT_OF_MEMORY, None),
    "too short for its worker": (TIMEOUT, ""),
    "forgotten, but it has printed something": (UNKNOWN, "the module system is down"),
}
PASSING = {
    "its node failed": (NODE_FAIL, None),
    "preempted": (PREEMPTED, None),
    "withdrawn by hand": (CANCELLED, None),
    "withdrawn by hand while it started": (CANCELLED, "loading modules"),
    "cut off from its coordinator": (FAILED, f"loading modules\n{CUT_OFF}\n"),
    "cut off, at a site that forgets": (UNKNOWN, CUT_OFF),
    "forgotten before it ran": (UNKNOWN, None),
}


@pytest.mark.parametrize("what", OWN)
def test_three_in_a_row_with_a_cause_of_their_own_give_up_the_size(what: str) -> None:
    failed = failed_start(*OWN[what])
    assert failed.own_fault
    assert rejected(failed, failed) is None
    cause = rejected(failed, failed, failed)
    assert cause is not None
    assert cause.message.startswith(
        f"3 SLURM jobs of {failed.size.label} in a row ended before running anything. The last, 7: it ended"
    )


@pytest.mark.parametrize("seconds_between", [0.0, 10.0])
@pytest.mark.parametrize("what", PASSING)
def test_what_happens_to_jobs_from_outside_gives_up_nothing(what: str, seconds_between: float) -> None:
    failed = failed_start(*PASSING[what])
    assert not failed.own_fault
    assert rejected(*[failed] * 40, seconds_between=seconds_between) is None


def test_the_two_kinds_do_not_add_up() -> None:
    own, passing = failed_start(FAILED), failed_start(NODE_FAIL)
    assert rejected(own, passing, passing, own, passing) is None


def test_jobs_that_are_lost_for_longer_than_the_site_says_are_given_up() -> None:
    failed = failed_start(FAILED, CUT_OFF)
    cause = rejected(*[failed] * 40, seconds_between=100.0)
    assert cause is not None
    assert cause.kind is FailureKind.UNAVAILABLE
    assert "No SLURM job of 8c-1.1G-1h has started for 3600 s" in cause.message
    assert NO_COORDINATOR in cause.message


@pytest.mark.parametrize(
    ("record", "kind"),
    [(FAILED, FailureKind.UNAVAILABLE), (OUT_OF_MEMORY, FailureKind.OUT_OF_MEMORY), (TIMEOUT, FailureKind.TIMEOUT)],
)
def test_the_kind_is_that_of_the_last_where_it_says_something(record: JobRecord, kind: FailureKind) -> None:
    cause = rejected(*[failed_start(record)] * 3)
    assert cause is not None
    assert cause.kind is kind


def test_the_end_of_what_a_job_has_printed_is_shown() -> None:
    printed = "\n".join(["hello", *["the site's own words"] * 50, "no such module", "exit"])
    message = failed_start(FAILED, printed).cause.message
    assert "FAILED. Its last output: the site's own words / no such module / exit." in message
    assert "in the file with 7 in its name" in message
    assert "Its last output: nothing." in failed_start(FAILED, "").cause.message


def test_a_pause_grows_with_each_that_is_lost_and_not_with_those_lost_together() -> None:
    failed = failed_start(NODE_FAIL)
    starts = FailedStarts().after(failed, NOW).after(failed, NOW + 1)
    assert not starts.backoff.is_due(NOW + 1.9)
    assert starts.backoff.is_due(NOW + 2)
    again = starts.after(failed, NOW + 2)
    assert not again.backoff.is_due(NOW + 5.9)


def test_a_job_that_was_seen_to_start_and_is_forgotten_is_judged_by_its_output() -> None:
    started, _ = step(job(JobState.QUEUED), Polled(RUNNING, NOW), NOW)
    for record in (UNKNOWN, UNKNOWN):
        started, actions = step(started, Polled(record, NOW, "exit 3"), NOW)
    assert [type(action) for action in actions] == [StartFailed]

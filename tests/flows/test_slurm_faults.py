"""Two hundred executions on a real SLURM while what can be killed is killed: each ends right, none runs twice."""

from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from tests.flows.cluster_provider import fails, waits_for_walltime
from tests.flows.random_faults import Faults
from tests.flows.slurm_site import PROVIDER, assert_each_ran_once, assert_nothing_is_left, transport_to
from tests.flows.temporary_site import AttemptRow, Site
from tests.slurm.cluster import SlurmCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("prefect_server")]

DIAGNOSTICS = ("large", "long", "plain", "tagged", "wide")
MODELS = [f"Model{number}" for number in range(40)]
FAULTS = {
    "pilot killed": 8,
    "supervisor killed": 7,
    "child killed": 8,
    "job cancelled": 7,
    "pending job cancelled": 2,
    "walltime over": 2,
}


def test_every_execution_ends_right_and_none_runs_twice(site: Site, tmp_path: Path, slurm: SlurmCluster) -> None:
    site.add_models(*MODELS)
    site.configure(max_attempts=20, max_lost=20)
    transport = transport_to(tmp_path / "shared", tagged="bigmem", rules={"max_jobs": 8})
    with Faults(slurm, site.notes, FAULTS, seed=1) as faults:
        report = site.solve(*DIAGNOSTICS, providers=[PROVIDER], transport=transport).report
    assert faults.made == FAULTS
    assert_nothing_is_left(slurm, tmp_path / "shared")
    site.assert_settled()
    assert_each_ran_once(site)
    assert report.recorded.complete
    for diagnostic in DIAGNOSTICS:
        for model in MODELS:
            assert_ended_right(site.attempts(diagnostic, model))
    assert site.dirty() == set()
    lost = [row.failure_kind for row in site.attempts()]
    assert 0 < lost.count(FailureKind.KILLED) <= FAULTS["child killed"]
    assert lost.count(FailureKind.WORKER_LOST) >= FAULTS["supervisor killed"]


def assert_ended_right(attempts: list[AttemptRow]) -> None:
    """Hold that a group has the end it should have, its attempts linked, each with a reason for the next."""
    *before, last = attempts
    assert [row.attempt for row in attempts] == list(range(1, len(attempts) + 1))
    assert [row.replaces for row in attempts] == [None, *(row.execution_id for row in before)]
    assert all(row.retryable for row in before)
    expected = FailureKind.DIAGNOSTIC_ERROR if fails(last.key) else None
    assert (last.failure_kind, last.retryable) == (expected, False)
    for row, following in zip(before, attempts[1:], strict=True):
        assert row.failure_kind in GROWS or row.failure_kind in {FailureKind.WORKER_LOST, FailureKind.KILLED}
        assert [following.memory_mb > row.memory_mb, following.wall_clock_seconds > row.wall_clock_seconds] == [
            row.failure_kind == kind for kind in GROWS
        ]
    if waits_for_walltime(last.diagnostic, last.key):
        assert [row.failure_kind for row in before] == [FailureKind.TIMEOUT]


GROWS = (FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT)
"""What has memory and walltime grow."""

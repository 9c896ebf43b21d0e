"""Coordinators on a private SLURM that are killed while jobs, pilots and workers are killed, too."""

from pathlib import Path

import pytest

from climate_ref_prefect.testing.executions import QUICK
from tests.flows.random_faults import Faults
from tests.flows.slurm_site import assert_nothing_is_left, write_profile
from tests.slurm.cluster import SlurmCluster
from tests.soak.campaign import DIAGNOSTICS, Campaign
from tests.soak.command_forks import preloaded_command
from tests.soak.coordinator_site import Place
from tests.soak.faults import CoordinatorFaults

SEED = 4
MODELS = 10
ON_THE_CLUSTER = {
    "pilot killed": 2,
    "supervisor killed": 2,
    "child killed": 2,
    "job cancelled": 2,
    "pending job cancelled": 1,
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_all_is_brought_home(tmp_path: Path, slurm: SlurmCluster) -> None:
    place = Place.make(tmp_path / "place", MODELS, DIAGNOSTICS)
    shared = tmp_path / "shared"
    limits = QUICK.model_dump(mode="json")
    profile = write_profile(shared / "profiles" / "private.yaml", shared, limits=limits)
    with preloaded_command() as command, Faults(slurm, place.notes, ON_THE_CLUSTER, SEED):
        campaign = Campaign(place, command, SEED, ["--transport", str(profile)])
        outcome = campaign.run(CoordinatorFaults(campaign.coordinator).all())
    assert not outcome.broken, f"seed {SEED}\n{place.log.read_text()[-8000:]}"
    assert outcome.faults.get("coordinator killed")
    assert_nothing_is_left(slurm, shared)

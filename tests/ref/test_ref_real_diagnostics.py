"""Real diagnostics on made data: what REF's own executor makes of them is what ours must make of them."""

from collections import defaultdict
from pathlib import Path

import pytest

from climate_ref_prefect.flows.server.local_server import LocalServer
from tests.flows.slurm_site import assert_nothing_is_left
from tests.ref.esmvaltool import set_up_esmvaltool
from tests.ref.home import ESMVALTOOL, EXAMPLE, ILAMB, LOCAL, OURS, RefHome
from tests.ref.slurm_site import assert_ran_in_a_job_of_its_size, jobs_of, write_site
from tests.ref.values import ExecutionRow, data_files, executions, used, values
from tests.slurm.cluster import SlurmCluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # ESMValTool starts in 10 s, and twelve executions take minutes

PROVIDERS = (EXAMPLE, ESMVALTOOL, ILAMB)
DIAGNOSTICS = ("--diagnostic", "global-mean-timeseries", "--diagnostic", "thetao-woa2023-surface")
COUNTS = {
    "example/global-mean-timeseries": 6,
    "esmvaltool/global-mean-timeseries": 3,
    "ilamb/thetao-woa2023-surface": 3,
}
"""Executions of each diagnostic: tas and rsut of three models, tas of three, tos of three."""


@pytest.fixture(scope="module")
def baseline(made_home: RefHome, tmp_path_factory: pytest.TempPathFactory) -> RefHome:
    """Return a REF that has solved everything with its own executor for one machine."""
    home = made_home.copy_to(tmp_path_factory.mktemp("baseline") / "ref")
    home.configure(LOCAL, ["n = 2"], PROVIDERS)
    set_up_esmvaltool(home)
    home.ref("solve", *DIAGNOSTICS)
    return home


def test_made_data_is_enough_for_the_example_provider_esmvaltool_and_ilamb(baseline: RefHome) -> None:
    rows = executions(baseline)
    assert {slug: sum(row.slug == slug for row in rows) for slug in COUNTS} == COUNTS
    assert [row for row in rows if not row.successful or row.dirty] == []
    assert len(values(baseline)) > 100
    files = data_files(baseline)
    assert {name.split("/")[0] for name in files} == {"example", "esmvaltool", "ilamb"}
    assert any(name.endswith(".csv") for name in files)


@pytest.mark.parametrize("options", [['transport = "local"', "cpu = 2"]], ids=["local"])
def test_our_executor_gives_the_same_rows_values_and_files(
    baseline: RefHome, made_home: RefHome, tmp_path: Path, options: list[str]
) -> None:
    ours = made_home.copy_to(tmp_path / "ref")
    ours.configure(OURS, options, PROVIDERS)
    set_up_esmvaltool(ours)
    ours.ref("solve", *DIAGNOSTICS)
    assert_same(ours, baseline)


def test_on_slurm_they_run_in_jobs_of_several_sizes_and_give_the_same(
    baseline: RefHome, made_home: RefHome, tmp_path: Path, slurm: SlurmCluster, prefect_server: LocalServer
) -> None:
    ours = made_home.copy_to(tmp_path / "ref", **prefect_server.variables)
    ours.configure(OURS, ['transport = "mysite"'], PROVIDERS)
    set_up_esmvaltool(ours)
    shared = tmp_path / "shared"
    write_site(ours, shared, rules={"max_jobs": 3})
    ours.ref("solve", *DIAGNOSTICS)
    assert_same(ours, baseline)
    jobs = jobs_of(slurm, shared)
    sizes: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for row in used(ours):
        where = row.context["climate_ref_prefect"]
        job = jobs[where["job_id"]]
        assert_ran_in_a_job_of_its_size(job, where)
        sizes[row.slug].add((job.memory_mb, job.cpu))
    assert sizes.keys() == COUNTS.keys()
    assert len(set().union(*sizes.values())) == len(COUNTS)  # each of the defaults that come with this package
    assert_nothing_is_left(slurm, shared)


def assert_same(ours: RefHome, baseline: RefHome) -> None:
    """Hold that the same executions have succeeded, with the same values and files."""
    assert by_group(ours) == by_group(baseline)
    assert values(ours) == values(baseline)
    assert data_files(ours) == data_files(baseline)


def by_group(home: RefHome) -> list[ExecutionRow]:
    """Return the rows by execution group, because executors end them in different orders."""
    return sorted(executions(home), key=lambda row: (row.slug, row.key))

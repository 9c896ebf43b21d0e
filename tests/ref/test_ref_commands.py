"""The commands `climate-ref-prefect ref ...` on a REF that knows some data."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from climate_ref_prefect.ref.cli.initialise import BACKUP
from tests.flows.slurm_site import assert_nothing_is_left
from tests.ref.home import ESMVALTOOL, EXAMPLE, LOCAL, OURS, RefHome
from tests.ref.slurm_site import write_site
from tests.ref.trial import SOURCES, Trial
from tests.slurm.cluster import SlurmCluster

_SECONDS = 200
_COMMAND = "from climate_ref_prefect.flows.cli.main import main; main()"


def run(home: RefHome, *arguments: str, returncode: int = 0) -> str:
    """Run `climate-ref-prefect ref ...`; return what it printed."""
    command = [sys.executable, "-c", _COMMAND, "ref", *arguments]
    ended = subprocess.run(
        command, env=home.environment, check=False, capture_output=True, encoding="utf-8", timeout=_SECONDS
    )
    assert ended.returncode == returncode, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.slow
def test_from_local_executor_to_ours_and_back(ref_home: RefHome) -> None:
    ref_home.configure(LOCAL, ["n = 2"])
    file = ref_home.configuration / "ref.toml"
    before = file.read_text()
    assert f"ref.toml names the executor {LOCAL}" in run(ref_home, "doctor", returncode=1)
    run(ref_home, "init")
    after = file.read_text()
    assert OURS in after
    assert "n = 2" not in after
    assert 'provider = "climate_ref_example:provider"' in after
    assert (ref_home.configuration / BACKUP).read_text() == before
    printed = run(ref_home, "doctor")
    assert f"executor {OURS}" in printed
    assert "wrong" not in printed
    hints = ref_home.configuration / "climate-ref-prefect" / "hints.yaml"
    assert [line for line in hints.read_text().splitlines() if line and not line.startswith("#")] == []
    file.write_text(file.read_text().replace('transport = "local"', 'transport = "local"\ncpu = 2'))
    run(ref_home, "init", "--transport", "local")
    assert "cpu = 2" in file.read_text()
    assert "`cpu = 2` limited the transport" in run(ref_home, "init", "--transport", "inline")
    assert 'transport = "inline"' in file.read_text()
    assert "cpu = 2" not in file.read_text()
    assert (ref_home.configuration / BACKUP).read_text() == before


@pytest.mark.slow
def test_a_site_is_checked_with_its_providers_in_words_of_ref(ref_home: RefHome) -> None:
    ref_home.configure(OURS, ['transport = "mysite"'])
    sites = ref_home.configuration / "climate-ref-prefect" / "sites"
    sites.mkdir(parents=True)
    (sites / "mysite.yaml").write_text("kind: slurm\nshared_directory: relative\n", encoding="utf-8")
    assert "mysite.yaml" in run(ref_home, "doctor", returncode=1)
    (sites / "mysite.yaml").write_text(f"kind: slurm\nshared_directory: {ref_home.configuration / 'jobs'}\n")
    home = ref_home.copy_to(ref_home.configuration.with_name("without-commands"), PATH="")
    (home.configuration / "scratch").write_text("in the way of the directory")
    printed = run(home, "doctor", returncode=1)
    assert "sbatch" in printed  # there is none
    assert "The provider climate_ref_prefect.ref.provider_adapter:ref_example on the node" in printed
    assert "or set another: `scratch` of [executor.config]." in printed


@pytest.mark.slow
def test_a_node_of_a_site_imports_the_providers(ref_home: RefHome, tmp_path: Path, slurm: SlurmCluster) -> None:
    ref_home.configure(LOCAL)
    write_site(ref_home, tmp_path / "shared")
    run(ref_home, "init", "--transport", "mysite")
    printed = run(ref_home, "doctor")
    assert f"The provider example {version('climate-ref-example')} can be imported on the node" in printed
    assert_nothing_is_left(slurm, tmp_path / "shared")


@pytest.mark.slow
def test_doctor_names_what_is_wrong_with_the_database(ref_home: RefHome) -> None:
    ref_home.configure(OURS)
    with closing(sqlite3.connect(ref_home.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of-another-time'")
    printed = run(ref_home, "doctor", returncode=1)
    assert "is at revision of-another-time, and climate-ref" in printed
    assert "run `ref db migrate`" in printed
    assert "is at revision of-another-time" in run(ref_home, "plan", returncode=2)
    ref_home.database.unlink()
    printed = run(ref_home, "doctor", returncode=1)
    assert f"The database {ref_home.database} cannot be opened or written" in printed
    assert "if there is none yet, run `ref db migrate`" in printed


@pytest.mark.slow
def test_doctor_names_the_solve_that_works_and_what_a_killed_one_has_left(trial: Trial) -> None:
    with trial.holding() as solve:
        printed = run(trial.home, "doctor")
        assert re.search(rf"A solve works on it \(.*\b{solve.pid}\b.*\): a second one would end", printed), printed
        solve.kill()
        solve.wait()
        printed = run(trial.home, "doctor")
    assert "No other solve of this executor works on it." in printed
    assert f"A solve that was killed has left {SOURCES} executions" in printed


@pytest.mark.slow
def test_doctor_imports_each_provider_in_a_worker_and_looks_for_its_environment(ref_home: RefHome) -> None:
    ref_home.configure(OURS, providers=[EXAMPLE, ESMVALTOOL, "no_such_module:provider"])
    printed = run(ref_home, "doctor", returncode=1)
    assert f"ok       The provider example {version('climate-ref-example')} can be imported here" in printed
    assert "The provider no_such_module:provider cannot be imported here, which ends every `ref solve`" in printed
    missing = f"The provider esmvaltool {version('climate-ref-esmvaltool')} can be imported here, and cannot run."
    assert f"{missing} -> micromamba is not available at {ref_home.shared / 'software' / 'conda'}" in printed
    assert "Run `ref providers setup --provider esmvaltool`" in printed


@pytest.mark.slow
def test_doctor_names_rules_that_apply_to_nothing(ref_home: RefHome) -> None:
    ref_home.configure(OURS)
    hints = ref_home.configuration / "climate-ref-prefect" / "hints.yaml"
    hints.parent.mkdir(exist_ok=True)
    hints.write_text("- {match: example/*, cpu: 1}\n- {match: examples/*, cpu: 1}\n- {match: example/global-*, cpu: 1}")
    lines = [line for line in run(ref_home, "doctor").splitlines() if "applies to nothing" in line]
    assert ["Rule 2 `examples/*` of hints.yaml" in lines[0], "no diagnostic of REF's" in lines[0]] == [True, True]
    assert ["Rule 3 `example/global-*`" in lines[1], "rules before it match all" in lines[1]] == [True, True]
    assert len(lines) == 2


@pytest.mark.slow
def test_the_plan_says_who_gave_each_number(ref_home: RefHome) -> None:
    ref_home.configure(OURS)
    assert "`example/*`, estimate" in run(ref_home, "plan")
    hints = ref_home.configuration / "climate-ref-prefect" / "hints.yaml"
    hints.parent.mkdir(exist_ok=True)
    hints.write_text("- {match: example/*, memory_mb: 777}\n")
    printed = run(ref_home, "plan")
    assert "6 executions on local, the largest with 777 MiB." in printed
    assert "hints.yaml, rule 1 `example/*`" in printed
    assert "0 executions on local" in run(ref_home, "plan", "--diagnostic", "nothing-like-it")


@pytest.mark.slow
def test_the_plan_says_what_the_transport_gives(ref_home: RefHome) -> None:
    ref_home.configure(OURS, ["cpu = 1", "memory_mb = 500"])
    clipped = "example/global-mean-timeseries asks for 1280 MiB, and is given 500 MiB: all that local has."
    printed = run(ref_home, "plan")
    assert clipped in printed
    assert "the largest with 500 MiB." in printed
    assert "ClippedResourcesWarning" not in printed
    site = ref_home.configuration / "small.yaml"
    site.write_text("kind: slurm\nsizing: {queues: [{name: tiny, memory_mb: 300, wall_clock: PT1H}]}\n")
    ref_home.configure(OURS, [f'transport = "{site}"'])
    assert "example/global-mean-timeseries cannot be run: " in run(ref_home, "plan", returncode=1)


@pytest.mark.slow
def test_what_is_invalid_is_said_before_anything_is_written(ref_home: RefHome) -> None:
    ref_home.configure(LOCAL)
    before = (ref_home.configuration / "ref.toml").read_text()
    assert "There is no transport 'nowhere'" in run(ref_home, "init", "--transport", "nowhere", returncode=2)
    assert (ref_home.configuration / "ref.toml").read_text() == before
    ref_home.configure(OURS, ["wrong_option = 3"])
    assert "wrong_option" in run(ref_home, "doctor", returncode=1)

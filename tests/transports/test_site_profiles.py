"""Transports in YAML."""

from datetime import timedelta
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.site_profiles import read_profile
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

SLURM = """
kind: slurm
account: ab12
constraint: haswell&ib
prologue: [module load conda, conda activate ref]
directives: [--exclusive=user]
sizing:
  headroom_mb: 500
  queues:
    - {name: compute, memory_mb: 240000, wall_clock: PT8H}
    - {name: fat, tags: [bigmem], only_tagged: true}
rules: {max_jobs: 7}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "site.yaml"


def script_of(transport: object, resources: ResourceHint) -> list[str]:
    assert isinstance(transport, SlurmTransport | PbsTransport)
    return transport.render(resources).splitlines()


def test_a_slurm_site(profile: Path, tmp_path: Path) -> None:
    profile.write_text(f"{SLURM}shared_directory: {tmp_path}")
    transport = read_profile(profile)
    assert transport.name == "slurm"
    script = script_of(transport, ResourceHint(memory_mb=1500, cpu=4, wall_clock=timedelta(minutes=10), queue="bigmem"))
    for line in ("-p fat", "-A ab12", "--cpus-per-task=4", "--mem=2036M", "-t 00:16:00", "--no-requeue"):
        assert f"#SBATCH {line}" in script
    assert "#SBATCH -J ref-4c-2G-0.27h-fat" in script
    assert script.index("#SBATCH --constraint=haswell&ib") < script.index("#SBATCH --exclusive=user")
    assert script.index("module load conda") < script.index("conda activate ref")
    assert "-m climate_ref_prefect.transports.batch.dask.pilot_worker tls://COORDINATOR:PORT" in script[-1]


def test_a_pbs_site(profile: Path, tmp_path: Path) -> None:
    profile.write_text(f"kind: pbs\nproject: xy\nshared_directory: {tmp_path}\nsizing: {{queues: [{{name: workq}}]}}")
    script = script_of(read_profile(profile), ResourceHint(memory_mb=1500, cpu=2, wall_clock=timedelta(minutes=10)))
    for line in ("-q workq", "-l select=1:ncpus=2:mem=1792mb", "-l walltime=00:16:00", "-r n", "-P xy"):
        assert f"#PBS {line}" in script


def test_gadis_dialect(profile: Path, tmp_path: Path) -> None:
    profile.write_text(
        f"kind: pbs\ndialect: gadi\nstorage: [gdata/ab12, scratch/ab12]\njobfs_mb: 2000\nshared_directory: {tmp_path}"
    )
    script = script_of(read_profile(profile), ResourceHint(memory_mb=1500, cpu=2))
    assert "#PBS -l ncpus=2,mem=1792mb,jobfs=2000mb" in script
    assert "#PBS -l storage=gdata/ab12+scratch/ab12" in script
    assert not [line for line in script if "select" in line]


def test_the_shared_directory_may_name_variables(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT", "ab12")
    profile.write_text("{kind: slurm, shared_directory: /scratch/$PROJECT/ref}")
    made = read_profile(profile)
    assert isinstance(made, SlurmTransport)
    assert made.shared == Path("/scratch/ab12/ref")


def test_this_machine(profile: Path) -> None:
    profile.write_text("{kind: local, cpu: 2}")
    assert read_profile(profile) == LocalTransport(cpu=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "cannot be read"),
        ("- kind: slurm", "must have a line `kind: `"),
        ("kind: lsf", "'lsf'; there are inline, local, pbs, slurm"),
        ("kind: SLURM", "'SLURM'; there are inline, local, pbs, slurm"),
        (
            "kind: slurm\nacount: x",
            "no field `acount` (is it `account`?). Its fields are account, constraint,",
        ),
        (
            "kind: slurm\nrules: {max_job: 3}",
            "no field `max_job` in `rules` (is it `max_jobs`?). Its fields are",
        ),
        ("kind: slurm\nrules.max_jobs: 3", "no field `rules.max_jobs` (write `max_jobs` below `rules:`, as a block)"),
        ("kind: slurm\naccount: a\naccount: b", "`account` is there twice"),
        ("kind: slurm\nsizing: {headroom_mb: 9, headroom_mb: 10}", "`headroom_mb` is there twice"),
        ("kind: slurm\nrules: {pending_limit: 8}", "rules.pending_limit: an ISO 8601 duration is wanted, for example"),
        ("kind: slurm\nrules: {pending_limit: PT0S}", "rules.pending_limit: it must be longer than zero"),
        ("kind: slurm\nsizing: {walltime_margin: -PT5M}", "sizing.walltime_margin: an ISO 8601 duration is wanted"),
        ("kind: slurm\nsizing: {queues: [{name: a, wall_clock: 8:00}]}", "sizing.queues.0.wall_clock: an ISO 8601"),
        ("kind: slurm\naccount: {{ account }}", "cannot be read"),
        ("kind: slurm\nshared_directory: ~nosuchuser/x", "~nosuchuser/x is not absolute"),
        ("kind: slurm\nshared_directory: here", "here is not absolute"),
        ("kind: slurm\ndirectives: ['#SBATCH --exclusive']", "without the scheduler's prefix (`#SBATCH`, `#PBS`)"),
        ("kind: slurm\ndirectives: [' #SBATCH --exclusive']", "without the scheduler's prefix (`#SBATCH`, `#PBS`)"),
        ("kind: slurm\ndirectives: [--comment=mine]", "`--comment` is used already"),
        ("kind: slurm\ndirectives: ['--exclusive  --comment mine']", "`--comment` is used already"),
        ("kind: slurm\ndirectives: ['\"--comment=my own\"']", "`--comment` is used already"),
        ("kind: slurm\ndirectives: [--comm=mine]", "`--comment` is used already"),
        (
            "kind: slurm\nsizing: {node: {cpu: 8, memory_mb: 9000}, queues: [{name: a, cpu: 4}]}",
            "no queue allows a node of 8 CPU and 9000 MiB",
        ),
        ("kind: slurm\nprologue: ['a\n\n b']", "without line breaks"),
        ("kind: slurm\naccount: 'a; rm -rf'", "account"),
        ("kind: slurm\nshared_directory: /x/$NONESUCH", "/x/$NONESUCH names an environment variable that is not set"),
        (
            "kind: slurm\nsizing: {queues: [{name: a, memory: 3}]}",
            "no field `memory` in `sizing.queues.0` (is it `memory_mb`?)",
        ),
    ],
)
def test_errors_are_reported_with_the_valid_alternatives(profile: Path, text: str, words: str) -> None:
    profile.write_text(text)
    with pytest.raises(BadInputError) as refused:
        read_profile(profile)
    assert str(profile) in str(refused.value)
    assert words in str(refused.value)


def test_a_missing_file_is_reported(profile: Path) -> None:
    with pytest.raises(BadInputError, match="No such file"):
        read_profile(profile)

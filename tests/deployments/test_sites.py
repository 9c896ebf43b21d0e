"""The example site profiles can be read, and make the jobs that their comments describe."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.host.batch_job_id import lines_naming_job
from climate_ref_prefect.execution.host.environment_variables import lines_for_job_script
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.port import ResourcesRefusedError
from climate_ref_prefect.transports.site_profiles import read_profile

SITES = Path(__file__).resolve().parents[2] / "deployments" / "sites"
EXAMPLES = ("slurm-example", "pbs-example", "pbs-gadi")
TWO_HOURS = ResourceHint(memory_mb=14336, cpu=4, wall_clock=timedelta(hours=2))


def site(name: str, shared: Path) -> BatchTransport:
    """Read an example, as a site whose shared directory can be made here."""
    transport = read_profile(SITES / f"{name}.yaml")
    assert isinstance(transport, SlurmTransport | PbsTransport)
    return transport.model_copy(update={"shared_directory": shared})


def directives(transport: BatchTransport, resources: ResourceHint) -> list[str]:
    """Return what a job script asks the scheduler for."""
    lines = transport.render(resources).splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(("#SBATCH ", "#PBS "))]


def commands(transport: BatchTransport) -> list[str]:
    """Return what a job script runs."""
    lines = transport.render(TWO_HOURS).splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_these_are_all_examples() -> None:
    assert {path.stem for path in SITES.glob("*.yaml")} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_worker_is_what_a_job_becomes_after_its_prologue(name: str, tmp_path: Path) -> None:
    transport = site(name, tmp_path)
    started, *lines, last = commands(transport)
    assert started.startswith("export CLIMATE_REF_PREFECT_JOB_STARTED=")
    given = [*lines_naming_job(*transport.job_variables), *lines_for_job_script()]
    assert lines[: len(given)] == given
    assert tuple(lines[len(given) :]) == transport.prologue != ()
    assert last.startswith(
        f"exec {transport.python} -P -m climate_ref_prefect.transports.batch.dask.pilot_worker tls://COORDINATOR:PORT "
    )
    assert f' --local-directory "{transport.local_directory}" ' in last


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_said_to_be_left_out_may_be_set(name: str, tmp_path: Path) -> None:
    """Each line that is commented out is a valid one: in its place it makes a valid profile."""
    lines = (SITES / f"{name}.yaml").read_text().splitlines()
    optional = [number for number, line in enumerate(lines) if line.lstrip().startswith("# ") and _is_setting(line)]
    for number in optional:
        changed = tmp_path / "changed.yaml"
        changed.write_text("\n".join([*lines[:number], lines[number].replace("# ", "", 1), *lines[number + 1 :]]))
        assert read_profile(changed) != read_profile(SITES / f"{name}.yaml"), lines[number]
    assert bool(optional) == (name != "pbs-gadi")


def _is_setting(line: str) -> bool:
    words = line.lstrip(" #").partition(": ")
    return words[0].isidentifier() and words[0].islower() and bool(yaml.safe_load(words[2]))


class TestSlurm:
    """slurm-example.yaml."""

    @pytest.fixture
    def transport(self, tmp_path: Path) -> BatchTransport:
        return site("slurm-example", tmp_path)

    def test_a_job_asks_for_its_size_and_for_what_the_site_wants(self, transport: BatchTransport) -> None:
        asked = directives(transport, TWO_HOURS)
        for line in ("-J ref-4c-14G-2.1h-compute", "--cpus-per-task=4", "--mem=14848M", "-t 02:08:00", "-p compute"):
            assert line in asked
        for line in ("-A ab1234", "--qos=normal", "--constraint=cpu&ib", "--exclude=node[013,042]", "--mail-type=NONE"):
            assert line in asked
        assert "--no-requeue" in asked
        assert commands(transport)[-1].partition("--interface ")[2].startswith("ib0 ")

    @pytest.mark.parametrize(
        ("asked", "partition"),
        [
            (ResourceHint(wall_clock=timedelta(hours=7)), "compute"),
            (ResourceHint(wall_clock=timedelta(hours=9)), "long"),
            (ResourceHint(queue="bigmem"), "fat"),
            (ResourceHint(queue="highmem", memory_mb=900_000), "fat"),
        ],
    )
    def test_the_first_partition_that_fits_is_taken(
        self, transport: BatchTransport, asked: ResourceHint, partition: str
    ) -> None:
        assert f"-p {partition}" in directives(transport, asked)

    def test_a_partition_for_what_is_tagged_takes_nothing_else(self, transport: BatchTransport) -> None:
        with pytest.raises(ResourcesRefusedError, match=r"compute allows 240000 MiB; long allows 240000 MiB\.$"):
            transport.check(ResourceHint(memory_mb=900_000))

    def test_short_executions_ask_for_jobs_that_several_can_share(self, transport: BatchTransport) -> None:
        assert "-t 02:08:00" in directives(transport, ResourceHint(wall_clock=timedelta(minutes=10)))


class TestPbs:
    """pbs-example.yaml."""

    @pytest.fixture
    def transport(self, tmp_path: Path) -> BatchTransport:
        return site("pbs-example", tmp_path)

    def test_a_job_asks_for_its_size_and_for_what_the_site_wants(self, transport: BatchTransport) -> None:
        asked = directives(transport, ResourceHint(memory_mb=16384, cpu=4, wall_clock=timedelta(hours=2)))
        for line in ("-N cmip-4c-17G-2.1h-workq", "-l select=1:ncpus=4:mem=17152mb", "-l walltime=02:08:00"):
            assert line in asked
        for line in ("-q workq", "-A ab1234", "-P climate", "-r n", "-l place=pack:shared", "-m n"):
            assert line in asked

    def test_what_is_too_large_goes_to_the_next_queue(self, transport: BatchTransport) -> None:
        assert "-q largemem" in directives(transport, ResourceHint(memory_mb=900_000))
        assert "-q largemem" in directives(transport, ResourceHint(queue="bigmem"))


class TestGadi:
    """pbs-gadi.yaml."""

    @pytest.fixture
    def transport(self, tmp_path: Path) -> BatchTransport:
        return site("pbs-gadi", tmp_path)

    def test_a_job_asks_in_the_sites_dialect(self, transport: BatchTransport) -> None:
        asked = directives(transport, TWO_HOURS)
        for line in ("-l ncpus=4,mem=14592mb,jobfs=2048mb", "-l storage=gdata/ab12+scratch/ab12"):
            assert line in asked
        for line in ("-P ab12", "-q normal"):
            assert line in asked
        assert not [line for line in asked if "select" in line or line.startswith("-A")]

    def test_a_cpu_with_its_share_of_memory_is_charged_as_one(self, transport: BatchTransport) -> None:
        for cpu in (1, 2, 4, 8, 16):
            assert transport.sizing.size(ResourceHint(memory_mb=3584 * cpu, cpu=cpu)).memory_mb <= 4096 * cpu

    def test_only_what_asks_for_it_goes_where_it_costs_more(self, transport: BatchTransport) -> None:
        assert "-q hugemem" in directives(transport, ResourceHint(queue="bigmem", memory_mb=900_000))
        with pytest.raises(ResourcesRefusedError, match=r"normal allows 194560 MiB\.$"):
            transport.check(ResourceHint(memory_mb=900_000))

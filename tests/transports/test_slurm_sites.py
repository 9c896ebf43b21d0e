"""Sites of SLURM whose commands print more than they should, and whose paths have any character in them."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.slurm.cluster import SlurmCluster
from tests.transports.job_executions import Open, opening

pytestmark = pytest.mark.slow
ODD = "my \"data\", o'brien's (1) & 100%j; #2 $ `x` [é]: {~}=*?!"
WELCOME = r"""
printf '\033[1m   Welcome to Example3\033[0m\r\n'
echo "Project 12345 has 500 hours left"
"""


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory before all others on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    return directory


def wrap(directory: Path, name: str, body: str) -> None:
    """Write a program in the place of another, which its body can call as `$real`."""
    program = directory / name
    program.unlink(missing_ok=True)
    real = shutil.which(name)
    program.write_text(f"#!/bin/sh\nreal={real}\n{body}\n")
    program.chmod(0o755)


@pytest.fixture
def open_slurm(slurm: SlurmCluster, tmp_path: Path) -> Iterator[Open]:
    """Open transports to the private cluster with odd paths, and see that they leave no job."""
    python = tmp_path / ODD / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    with opening(SlurmTransport, tmp_path / ODD / "shared", python=str(python)) as open_one:
        yield open_one
    wait_until(lambda: not slurm.run("squeue", "--noheader", "--states=PENDING,RUNNING,COMPLETING"))


def test_paths_with_any_character_and_lines_around_every_answer(
    open_slurm: Open, prepare: Prepare, wrapped: Path, tmp_path: Path
) -> None:
    wrap(wrapped, "sbatch", f'{WELCOME}\n"$real" "$@" || exit\necho "Estimated cost: 12 SU"')
    wrap(wrapped, "squeue", 'echo "NOTE: maintenance on Monday"; exec "$real" "$@"')
    assert open_slurm().run(*prepare("writing")).succeeded
    (log,) = (tmp_path / ODD / "shared" / "logs").iterdir()
    assert log.name.startswith("ref-")


def test_a_job_whose_number_is_not_printed_is_found_by_its_mark_and_followed(
    open_slurm: Open, prepare: Prepare, wrapped: Path, slurm: SlurmCluster
) -> None:
    before = set(slurm.jobs())
    wrap(wrapped, "sbatch", '"$real" "$@" > /dev/null || exit\necho "Your job is in the queue."')
    outcome = open_slurm().run(*prepare("writing"))
    assert outcome.succeeded, outcome.failure
    assert {int(str(outcome.telemetry.transport_meta["job_id"]))} == set(slurm.jobs()) - before

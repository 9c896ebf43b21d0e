"""Each job has a mark of its own, which names its owner."""

from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.schedulers.job_marks import is_owned_by, new_mark
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import PbsCommands
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.commands import SlurmCommands
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport

STORE = "0123456789abcdef0123456789abcdef"


def test_marks_are_unique_and_each_names_its_owner() -> None:
    marks = {new_mark(STORE) for _ in range(100)}
    assert len(marks) == 100
    assert all(is_owned_by(mark, STORE) for mark in marks)
    assert not any(is_owned_by(mark, STORE[:-1]) for mark in marks)


@pytest.mark.parametrize("owner", ["", "nobody-else", "$(rm -rf /)"])
def test_a_mark_is_one_word_of_letters_and_digits_with_one_dash(owner: str) -> None:
    name, _, number = new_mark(owner).partition("-")
    assert name.isalnum()
    assert number.isalnum()


def test_a_job_without_an_owner_is_not_claimed() -> None:
    assert not is_owned_by(new_mark(""), "")


@pytest.mark.parametrize(
    ("transport", "commands"), [(SlurmTransport(), SlurmCommands()), (PbsTransport(), PbsCommands())]
)
def test_a_job_script_has_a_mark(
    transport: SlurmTransport | PbsTransport, commands: SlurmCommands | PbsCommands, tmp_path: Path
) -> None:
    scripts = [tmp_path / "one.sh", tmp_path / "two.sh"]
    for script in scripts:
        script.write_text(transport.render(ResourceHint()))
    first, second = (commands.mark_in(script) for script in scripts)
    assert first != second
    assert first.startswith("nobody-")


@pytest.mark.parametrize("line", ["-v SITE=a,B=2", "-vSITE=a", "-v  SITE=a  "])
def test_variables_of_the_operator_are_kept_beside_the_mark(line: str, tmp_path: Path) -> None:
    transport = PbsTransport(directives=("-l place=free", line))
    lines = transport.render(ResourceHint()).splitlines()
    (variables,) = (text for text in lines if text.startswith("#PBS -v"))
    assert "SITE=a" in variables
    assert ",CLIMATE_REF_PREFECT_MARK=nobody-" in variables
    assert "#PBS -l place=free" in lines

"""Results belong to the planned inputs, and each execution draws random numbers of its own."""

import itertools
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.diagnostics.file_fingerprint import current_fingerprint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.transports.contract_driver import Backend, Driving, kind_of, message_of
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.diagnostics import cmip6_trees

CHANGE = "tests.providers_of_change:provider"
LATE = "tests.providers_of_late_numpy:provider"
ISOLATIONS: tuple[Isolation, ...] = ("warm", "fresh")
WAYS = ["append", "replace", "set-back", "remove", "truncate"]


@pytest.fixture(scope="module")
def backend() -> Backend:
    """Return the transport whose workers look at the inputs."""
    return Backend("local", lambda: LocalTransport(cpu=2), lambda: LocalTransport(cpu=1))


@pytest.fixture(scope="module")
def driving(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driving]:
    """Keep one open whose servers have been started."""
    with Driving(backend.open(), backend.allowances) as driving:
        prepare = Prepare(tmp_path_factory.mktemp("warming"))
        for target, isolation in itertools.product((CHANGE, LATE), ISOLATIONS):
            driving.run(*prepare("draw", target=target, isolation=isolation))
        yield driving


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Some data files."""
    made = [tmp_path / "data" / f"part{number}.nc" for number in range(3)]
    made[0].parent.mkdir()
    for file in made:
        file.write_text(f"the content of {file.name}")
    return made


class TestChangedInputs:
    """What was planned for other files than there are is not recorded."""

    def test_files_that_stay_as_they_are_do_no_harm(
        self, driving: Driving, prepare: Prepare, files: list[Path]
    ) -> None:
        assert driving.run(*prepare("only-read", target=CHANGE, files=files)).succeeded

    @pytest.mark.parametrize("way", WAYS)
    def test_a_change_while_it_runs_is_no_success(
        self, driving: Driving, prepare: Prepare, files: list[Path], way: str
    ) -> None:
        outcome = driving.run(*prepare(way, target=CHANGE, files=files))
        assert kind_of(outcome) is FailureKind.INPUT_CHANGED
        assert "After it had run, the files of CMIP6.CanESM5 were not" in message_of(outcome)
        assert str(files[0].parent) in message_of(outcome)
        assert not outcome.manifest

    @pytest.mark.parametrize("diagnostic", ["change-and-fail", "change-and-crash"])
    def test_a_failure_on_files_that_change_is_not_the_diagnostics(
        self, driving: Driving, prepare: Prepare, files: list[Path], diagnostic: str
    ) -> None:
        outcome = driving.run(*prepare(diagnostic, target=CHANGE, files=files))
        assert kind_of(outcome) is FailureKind.INPUT_CHANGED
        assert outcome.failure is not None
        assert "It ended as" in outcome.failure.details

    @pytest.mark.parametrize("isolation", ISOLATIONS)
    def test_a_change_before_it_runs_keeps_it_from_running(
        self, driving: Driving, prepare: Prepare, files: list[Path], isolation: Isolation
    ) -> None:
        directory, resources = prepare("remove", target=CHANGE, files=files, isolation=isolation)
        files[1].unlink()
        outcome = driving.run(directory, resources)
        assert kind_of(outcome) is FailureKind.INPUT_CHANGED
        assert "Before it ran, the files of CMIP6.CanESM5 were not" in message_of(outcome)
        assert f"{files[1]} cannot be read (No such file or directory)" in message_of(outcome)
        assert files[-1].exists()

    def test_in_a_debugger_it_is_the_same(self, prepare: Prepare, files: list[Path]) -> None:
        directory, _ = prepare("append", target=CHANGE, files=files)
        assert kind_of(execute_in_process(directory)) is FailureKind.INPUT_CHANGED

    def test_a_limit_turns_it_off(self, driving: Driving, prepare: Prepare, files: list[Path]) -> None:
        limits = QUICK.model_copy(update={"check_inputs": False})
        assert driving.run(*prepare("append", target=CHANGE, files=files, limits=limits)).succeeded

    def test_an_end_of_another_kind_stays_what_it_is(
        self, driving: Driving, prepare: Prepare, files: list[Path]
    ) -> None:
        directory, resources = prepare("nonexistent", target=CHANGE, files=files)
        assert kind_of(driving.run(directory, resources)) is FailureKind.DIAGNOSTIC_ERROR


class TestFingerprint:
    """Planning and worker give the same files the same fingerprint."""

    def test_it_is_the_one_that_was_planned(self, tmp_path: Path) -> None:
        cmip6_trees.add(tmp_path, cmip6_trees.DRS, "185001-189912", "190001-201412")
        datasets = scan(tmp_path).datasets
        assert [current_fingerprint(dataset.files) for dataset in datasets] == [data.fingerprint for data in datasets]
        assert {dataset.fingerprint_of for dataset in datasets} == {"files"}

    def test_a_file_that_is_gone_a_pipe_and_one_behind_a_link_have_one_each(self, tmp_path: Path) -> None:
        file, link, pipe = (tmp_path / name for name in ("a.nc", "b.nc", "c.nc"))
        file.write_text("1")
        link.symlink_to(file)
        os.mkfifo(pipe)
        seen = {current_fingerprint([path]) for path in (file, link, pipe, tmp_path / "gone.nc")}
        assert len(seen) == 4
        file.unlink()
        assert current_fingerprint([link]) not in seen


class TestRandomNumbers:
    """Each execution draws numbers of its own, and draws them again when it is repeated."""

    @pytest.mark.parametrize("target", [CHANGE, LATE])
    def test_they_are_the_same_in_a_fork_and_in_a_new_interpreter(
        self, driving: Driving, prepare: Prepare, target: str
    ) -> None:
        runs = [prepare("draw", target=target, isolation=isolation) for isolation in ("warm", "fresh", "warm")]
        assert all(outcome.succeeded for outcome in driving.run_all(runs))
        drawn = [numbers_of(directory) for directory, _ in runs]
        assert len(drawn[0]) == 6
        assert drawn[0] == drawn[1] == drawn[2]

    @pytest.mark.parametrize("target", [CHANGE, LATE])
    def test_no_two_executions_draw_the_same(self, driving: Driving, prepare: Prepare, target: str) -> None:
        runs = [prepare("draw", target=target, key=key) for key in ("MIROC6", "CanESM5", "IITM-ESM")]
        driving.run_all(runs)
        drawn = [number for directory, _ in runs for number in numbers_of(directory)]
        assert len(set(drawn)) == len(drawn) == 18

    def test_other_inputs_give_other_numbers(self, driving: Driving, prepare: Prepare, files: list[Path]) -> None:
        runs = [prepare("draw", target=CHANGE, files=part) for part in (files, files[:2])]
        driving.run_all(runs)
        assert not set(numbers_of(runs[0][0])) & set(numbers_of(runs[1][0]))

    def test_in_a_debugger_they_are_the_same_and_the_own_ones_go_on(
        self, driving: Driving, prepare: Prepare, capfd: pytest.CaptureFixture[str]
    ) -> None:
        directory, resources = prepare("draw", target=CHANGE)
        driving.run(directory, resources)
        before = random.getstate()
        finders = list(sys.meta_path)
        execute_in_process(prepare("draw", target=CHANGE)[0])
        assert random.getstate() == before
        assert sys.meta_path == finders
        assert numbers_in(capfd.readouterr().out) == numbers_of(directory)


def numbers_of(directory: Path) -> Sequence[float]:
    """Return the numbers that an execution has drawn, as its log has them."""
    return numbers_in((directory / "run.log").read_text())


def numbers_in(text: str) -> Sequence[float]:
    """Return the numbers of the lines that hold nothing else."""
    lines = (line.split() for line in text.splitlines())
    return [float(word) for line in lines if line and all(word.startswith("0.") for word in line) for word in line]

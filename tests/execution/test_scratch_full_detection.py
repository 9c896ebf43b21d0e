"""A failure that a full scratch has caused is not a failure of the execution."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import QUICK, Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.testing.transports.contract_driver import Backend, Driving, kind_of, message_of
from tests.flows.tmpfs_disk import Disk, fill
from tests.transports.local_backend import warmed

FULL = "tests.providers_of_full_disks:provider"
TIMEOUT_SECONDS = 60.0
Mount = Callable[[str], Path]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def driving(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driving]:
    """Keep one open whose server has been started."""
    with warmed(backend, tmp_path_factory.mktemp("warming"), FULL, "unknown") as driving:
        yield driving


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount small file systems; must be root, as CI is."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        directory = tmp_path / f"disk{len(mounted)}"
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
        mounted.append(directory)
        return directory

    yield mount
    for directory in mounted:
        subprocess.run(["umount", str(directory)], check=True)


def outcome_where_others_fill(disk: Path, driving: Driving, diagnostic: str) -> ExecutionOutcome:
    """Run a diagnostic, fill the disk while it runs, and return its outcome."""
    directory, resources = Prepare(disk)(diagnostic, target=FULL)
    future = driving.start(directory, resources)
    wait_until((directory / "output").exists)
    fill(disk)
    return future.result(TIMEOUT_SECONDS)


@pytest.mark.parametrize("diagnostic", ["write", "own-error", "crash", "exit", "no-result", "succeed"])
def test_whatever_it_fails_with_where_others_have_filled_scratch(
    driving: Driving, mount: Mount, diagnostic: str
) -> None:
    disk = mount("size=4m")
    outcome = outcome_where_others_fill(disk, driving, diagnostic)
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert "Scratch was full while it ran: it had no room left. It failed with: " in message_of(outcome)


def test_inodes_may_be_what_is_missing(driving: Driving, mount: Mount) -> None:
    disk = mount("size=4m,nr_inodes=200")
    directory, resources = Prepare(disk)("own-error", target=FULL)
    future = driving.start(directory, resources)
    wait_until((directory / "output").exists)
    use_inodes(disk)
    outcome = future.result(TIMEOUT_SECONDS)
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert "it had no inodes left" in message_of(outcome)


def test_it_is_remembered_when_there_is_room_again(driving: Driving, mount: Mount) -> None:
    disk = mount("size=4m")
    directory, resources = Prepare(disk)("later", target=FULL)
    future = driving.start(directory, resources)
    wait_until((directory / "output").exists)
    fill(disk)
    time.sleep(5 * QUICK.heartbeat_seconds)  # that it has looked leaves no trace: there is no room for one
    Disk(disk).free()
    outcome = future.result(TIMEOUT_SECONDS)
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert "a file written before is cut short" in message_of(outcome)


def test_the_execution_itself_tells_where_there_is_room_before_anybody_else_looks(
    driving: Driving, mount: Mount
) -> None:
    disk = mount("size=4m")
    outcome = outcome_where_others_fill(disk, driving, "write-and-make-room")
    assert not Disk(disk).is_filled()
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert "Scratch was full while it ran: it had no room left. It failed with: " in message_of(outcome)


def test_a_success_that_cannot_be_written_is_no_fault_of_the_execution(driving: Driving, mount: Mount) -> None:
    disk = mount("size=4m")
    directory, resources = Prepare(disk)("long-examination", target=FULL)
    future = driving.start(directory, resources)
    wait_until((directory / "output" / "series.json").exists)
    fill(disk)
    outcome = future.result(TIMEOUT_SECONDS)
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert not outcome.manifest
    assert ExecutionDirectory(directory).read_outcome() is None


def test_a_scratch_that_is_read_only_is_no_fault_of_the_execution(driving: Driving, mount: Mount) -> None:
    disk = mount("size=4m")
    directory, resources = Prepare(disk)("succeed", target=FULL)
    Disk(disk).make_read_only()
    outcome = driving.run(directory, resources)
    assert kind_of(outcome) is FailureKind.SCRATCH_FULL
    assert "Read-only file system" in message_of(outcome)


def test_other_failures_stay_what_they_are_while_there_is_room(driving: Driving, prepare: Prepare) -> None:
    assert kind_of(driving.run(*prepare("unknown", target=FULL))) is FailureKind.DIAGNOSTIC_ERROR


def use_inodes(directory: Path) -> None:
    """Leave no inodes on the file system of a directory."""
    number = 0
    try:
        while True:
            (directory / f"file{number}").touch()
            number += 1
    except OSError:
        return

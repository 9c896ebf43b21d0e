"""What no worker has begun with is removed from scratch, unless one begins with it at that moment."""

from pathlib import Path

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.flows.lifecycle.scratch_retention import withdraw_directory


@pytest.fixture
def files(tmp_path: Path) -> ExecutionDirectory:
    """An attempt that has been given up before a worker has begun with it."""
    path = tmp_path / "scratch" / "provider" / "diagnostic" / "group" / "attempt"
    path.mkdir(parents=True)
    files = ExecutionDirectory(path)
    files.close("the solve was stopped")
    return files


def test_it_is_gone_with_the_directories_of_its_group_and_diagnostic(files: ExecutionDirectory, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    assert withdraw_directory(files, scratch)
    assert [path.name for path in scratch.rglob("*")] == ["provider"]
    assert withdraw_directory(files, scratch)


def test_what_a_worker_claims_meanwhile_keeps_its_directory_and_stays_closed(
    files: ExecutionDirectory, tmp_path: Path
) -> None:
    (files.path / "claim.json").write_text("{}")
    before = sorted(path.name for path in files.path.iterdir())
    assert not withdraw_directory(files, tmp_path / "scratch")
    assert sorted(path.name for path in files.path.iterdir()) == before
    assert files.is_closed()
    assert [path.name for path in files.path.parent.iterdir()] == ["attempt"]


def test_where_it_cannot_be_moved_it_is_kept(files: ExecutionDirectory, tmp_path: Path) -> None:
    (files.path.parent / ".withdrawn-attempt" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        withdraw_directory(files, tmp_path / "scratch")
    assert files.is_closed()

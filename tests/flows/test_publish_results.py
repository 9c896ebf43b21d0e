"""Publishing: what is visible in the results directory is whole and is what the worker left."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.errors import ResultValidationError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import FileRecord
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.execution.worker.execute_in_process import execute_in_process
from climate_ref_prefect.store.publish_results import PublishError, publish, remove_leftovers
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.tmpfs_disk import Disk

FRAGMENT = "test/writing/CanESM5/20250101T000000-0a1b2c3d"
FILES = {"map.png": b"a map", "deep/er/fields.nc": b"\x00\x01 fields"}
Ran = tuple[ExecutionDirectory, Sequence[FileRecord]]
Snapshot = Mapping[str, tuple[bytes, int]]


def leave(path: Path, files: Mapping[str, bytes] = FILES, named: Sequence[str] | None = None) -> Ran:
    """Leave an execution's directory as its worker does; its bundle names all files, or only some."""
    execution = ExecutionDirectory(path)
    execution.output.mkdir(parents=True)
    execution.log.write_text("it went well\n")
    for name, content in files.items():
        (execution.output / name).parent.mkdir(parents=True, exist_ok=True)
        (execution.output / name).write_bytes(content)
    names = files if named is None else named
    outputs = OutputBundle(data={f"file{number}": OutputFile(filename=name) for number, name in enumerate(names)})
    (execution.output / OUTPUT_BUNDLE).write_text(outputs.model_dump_json())
    for bundle in (METRIC_BUNDLE, SERIES):
        (execution.output / bundle).write_text("{}")
    return execution, manifest(execution.output)


def snapshot(root: Path) -> Snapshot:
    """Return content and modification time of every file below a directory, hidden ones too."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


def files_below(root: Path) -> set[str]:
    return set(snapshot(root))


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """An execution that has ended well."""
    return leave(tmp_path / "scratch" / FRAGMENT)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where its results go; nothing of it is there yet."""
    return tmp_path / "results" / FRAGMENT


class TestWhatIsPublished:
    """Log, bundles, and the files that they name."""

    def test_what_a_worker_leaves_can_be_published(self, prepare: Prepare, target: Path) -> None:
        directory, _ = prepare("writing")
        outcome = execute_in_process(directory)
        publish(ExecutionDirectory(directory), outcome.manifest, target)
        assert files_below(target) == {METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, "run.log", "values.txt"}
        for name in (METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, "values.txt"):
            assert (target / name).read_bytes() == (directory / "output" / name).read_bytes()

    def test_nested_files_keep_their_places(self, ran: Ran, target: Path) -> None:
        publish(*ran, target)
        assert {name: (target / name).read_bytes() for name in FILES} == FILES

    def test_what_no_bundle_names_stays_on_scratch(self, tmp_path: Path, target: Path) -> None:
        publish(*leave(tmp_path / "scratch", {**FILES, "restart.bin": b"large"}, named=["map.png"]), target)
        assert files_below(target) == {METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, "run.log", "map.png"}
        assert not (target / "deep").exists()

    def test_scratch_is_left_as_it_was(self, ran: Ran, target: Path) -> None:
        before = snapshot(ran[0].path)
        publish(*ran, target)
        assert snapshot(ran[0].path) == before

    def test_results_are_closed_to_others(self, ran: Ran, target: Path) -> None:
        before = os.umask(0)
        try:
            publish(*ran, target)
        finally:
            os.umask(before)
        assert stat.S_IMODE(target.stat().st_mode) == 0o750

    def test_it_is_there_all_at_once(self, tmp_path: Path, target: Path) -> None:
        ran = leave(tmp_path / "scratch", {f"part{number}": os.urandom(1 << 20) for number in range(20)})
        seen: set[int] = set()
        publishing = threading.Thread(target=publish, args=(*ran, target))
        publishing.start()
        while publishing.is_alive() or not seen:
            if target.exists():
                seen.add(sum(path.stat().st_size for path in target.glob("part*")))
        assert seen == {20 << 20}


class TestRefusals:
    """What is not as the worker left it is not published, and nothing of it is seen."""

    def refuse(self, ran: Ran, target: Path, error: type[Exception], words: str) -> None:
        with pytest.raises(error, match=words):
            publish(*ran, target)
        assert not target.exists()
        assert not files_below(target.parents[3])

    @pytest.mark.parametrize("content", [b"A map", b"", b"a map and more"], ids=["same size", "empty", "longer"])
    @pytest.mark.parametrize("name", ["map.png", METRIC_BUNDLE, SERIES])
    def test_a_file_that_has_changed_since(self, ran: Ran, target: Path, name: str, content: bytes) -> None:
        (ran[0].output / name).write_bytes(content)
        self.refuse(ran, target, PublishError, f"{name} is not the file that the worker left")

    def test_a_file_that_the_manifest_does_not_list(self, ran: Ran, target: Path) -> None:
        execution, records = ran
        short = [record for record in records if record.path != "map.png"]
        self.refuse((execution, short), target, PublishError, "does not list map.png")

    @pytest.mark.parametrize("name", [METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES])
    def test_a_bundle_that_the_manifest_does_not_list(self, ran: Ran, target: Path, name: str) -> None:
        execution, records = ran
        short = [record for record in records if record.path != name]
        self.refuse((execution, short), target, PublishError, f"does not list {name}")

    def test_a_file_that_is_gone(self, ran: Ran, target: Path) -> None:
        (ran[0].output / "map.png").unlink()
        self.refuse(ran, target, ResultValidationError, "does not exist")

    def test_a_file_that_has_become_a_link(self, ran: Ran, target: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        (ran[0].output / "map.png").rename(outside)
        (ran[0].output / "map.png").symlink_to(outside)
        self.refuse(ran, target, ResultValidationError, "passes through a link")

    def test_a_directory_that_has_become_a_link(self, ran: Ran, target: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        (ran[0].output / "deep").rename(outside)
        (ran[0].output / "deep").symlink_to(outside)
        self.refuse(ran, target, ResultValidationError, "passes through a link")

    @pytest.mark.parametrize("name", [METRIC_BUNDLE, SERIES])
    def test_a_bundle_that_has_become_a_link(self, ran: Ran, target: Path, tmp_path: Path, name: str) -> None:
        outside = tmp_path / "outside"
        (ran[0].output / name).rename(outside)
        (ran[0].output / name).symlink_to(outside)
        self.refuse(ran, target, PublishError, f"{name} is not the file")

    @pytest.mark.parametrize("filename", ["/etc/passwd", "../run.log", "deep/../../run.log"])
    def test_a_bundle_that_points_outside(self, tmp_path: Path, target: Path, filename: str) -> None:
        ran = leave(tmp_path / "scratch")
        bundle = {"data": {"secret": {"filename": filename}}}
        (ran[0].output / OUTPUT_BUNDLE).write_text(json.dumps(bundle))
        self.refuse(ran, target, ResultValidationError, "inside the output directory")


class TestExistingTarget:
    """A target that is there already is verified, never written."""

    def test_the_same_is_accepted_and_left_alone(self, ran: Ran, target: Path) -> None:
        publish(*ran, target)
        before = snapshot(target)
        publish(*ran, target)
        assert snapshot(target) == before

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: (path / "map.png").write_bytes(b"A map"),
            lambda path: (path / "deep/er/fields.nc").unlink(),
            lambda path: (path / METRIC_BUNDLE).write_text("{ }"),
        ],
        ids=["changed", "missing", "bundle"],
    )
    def test_another_one_is_refused_and_left_alone(
        self, ran: Ran, target: Path, spoil: Callable[[Path], object]
    ) -> None:
        publish(*ran, target)
        spoil(target)
        before = snapshot(target.parents[3])
        with pytest.raises(PublishError, match="is not the file that the worker left"):
            publish(*ran, target)
        assert snapshot(target.parents[3]) == before


class TestDisks:
    """What a file system refuses is an `OSError` that can be tried again, and leaves nothing."""

    def test_a_read_only_results_directory(self, ran: Ran, disk: Disk) -> None:
        target = disk.path / FRAGMENT
        disk.make_read_only()
        with pytest.raises(OSError, match="Read-only"):
            publish(*ran, target)
        disk.make_writable()
        assert not files_below(disk.path)
        publish(*ran, target)
        assert {name: (target / name).read_bytes() for name in FILES} == FILES

    def test_it_becomes_read_only_in_the_middle_of_a_copy(self, ran: Ran, disk: Disk) -> None:
        target = disk.path / FRAGMENT
        with pytest.raises(OSError, match="Read-only"):
            publish(*ran, target, disk.make_read_only)
        assert not target.exists()
        disk.make_writable()
        assert files_below(disk.path)  # it could not be removed
        publish(*ran, target)
        assert {Path(name).relative_to(FRAGMENT) for name in files_below(disk.path)} == {
            path.relative_to(target) for path in target.rglob("*") if path.is_file()
        }

    def test_a_full_disk(self, ran: Ran, disk: Disk) -> None:
        target = disk.path / FRAGMENT
        disk.fill()
        with pytest.raises(OSError, match="No space"):
            publish(*ran, target)
        assert not target.exists()
        disk.free()
        assert not files_below(disk.path)
        publish(*ran, target)
        assert {name: (target / name).read_bytes() for name in FILES} == FILES

    def test_a_disk_that_is_full_half_way(self, tmp_path: Path, disk: Disk) -> None:
        ran = leave(tmp_path / "scratch", {f"part{number}": os.urandom(1 << 20) for number in range(6)})
        target = disk.path / FRAGMENT
        with pytest.raises(OSError, match="No space"):
            publish(*ran, target)
        assert not target.exists()
        assert not files_below(disk.path)

    def test_a_file_where_a_directory_must_be(self, ran: Ran, target: Path) -> None:
        target.parents[2].mkdir(parents=True)
        target.parents[1].write_text("in the way")
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            publish(*ran, target)


_PUBLISH = """
import sys
from pathlib import Path
from climate_ref_prefect.store.publish_results import publish
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.output_manifest import manifest

execution = ExecutionDirectory(Path(sys.argv[1]))
publish(execution, manifest(execution.output), Path(sys.argv[2]))
"""


def test_what_a_killed_copy_left_is_invisible_and_removed_and_results_stay(ran: Ran, target: Path) -> None:
    results, neighbour = target.parents[3], target.with_name("20250101T000001-4e5f6a7b")
    publish(*ran, neighbour)
    before = snapshot(results)
    large = leave(ran[0].path.with_name("large"), {f"part{number}": os.urandom(1 << 20) for number in range(100)})
    copying = subprocess.Popen([sys.executable, "-c", _PUBLISH, str(large[0].path), str(target)])
    leftover = wait_until(lambda: next(target.parent.glob(".incoming-*"), None))
    copying.kill()
    assert copying.wait() == -signal.SIGKILL
    assert not target.exists()
    assert leftover.exists()
    remove_leftovers(results)
    assert snapshot(results) == before
    publish(*large, target)
    assert len(list(target.glob("part*"))) == 100


names = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,3}", fullmatch=True), min_size=1, max_size=3).map("/".join)
trees = st.dictionaries(names, st.binary(max_size=50), max_size=5).filter(
    lambda tree: not any(f"{other}/".startswith(f"{name}/") for name in tree for other in tree if other != name)
)


@given(trees)
def test_publishing_twice_is_the_same_as_once(tmp_path_factory: pytest.TempPathFactory, tree: dict[str, bytes]) -> None:
    root = tmp_path_factory.mktemp("publishing")
    ran = leave(root / "scratch", tree)
    target = root / "results" / FRAGMENT
    publish(*ran, target)
    once = snapshot(root)
    publish(*ran, target)
    assert snapshot(root) == once
    assert {name: (target / name).read_bytes() for name in tree} == tree


_SWEEP = """
import sys, time
from pathlib import Path
from climate_ref_prefect.store.publish_results import remove_leftovers
print("ready", flush=True)
while True:
    remove_leftovers(Path(sys.argv[1]))
"""


def test_what_is_published_while_another_process_removes_leftovers_is_whole_or_fails(tmp_path: Path) -> None:
    execution, files = leave(tmp_path / "scratch", {f"part{number}": bytes(2000) for number in range(100)})
    results, whole = tmp_path / "results", 0
    (results / FRAGMENT).parent.mkdir(parents=True)
    sweeping = subprocess.Popen([sys.executable, "-c", _SWEEP, str(results)], stdout=subprocess.PIPE)
    assert sweeping.stdout is not None
    try:
        assert sweeping.stdout.readline() == b"ready\n"
        for number in range(60):
            target = (results / FRAGMENT).with_name(str(number))
            try:
                publish(execution, files, target)
            except (OSError, PublishError):
                assert not target.exists()
            else:
                whole += 1
    finally:
        sweeping.kill()
        sweeping.communicate()
    published = list((results / FRAGMENT).parent.glob("[0-9]*"))
    assert len(published) == whole
    assert {len(list(target.iterdir())) for target in published} <= {len(files) + 1}


def test_results_get_no_name_where_they_must_not(ran: Ran, target: Path) -> None:
    def refuse() -> None:
        raise PermissionError("another coordinator has taken over")

    with pytest.raises(PermissionError, match="taken over"):
        publish(*ran, target, refuse)
    assert not target.exists()
    assert not list(target.parent.iterdir())

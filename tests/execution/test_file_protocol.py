"""The file protocol: documents come back as they were written, exclusive ones once, and never half."""

import contextlib
import errno
import hashlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.errors import ResultValidationError, SchemaMismatchError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import ExecutionOutcome, Telemetry
from climate_ref_prefect.execution.output_manifest import check_files, manifest
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from tests.diagnostics.strategies import envelopes, names, outcomes, telemetries

BUNDLES = (METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES)
ODD_KINDS = {
    "pipe": "named pipe",
    "socket": "socket",
    "device": "device",
    "directory": "directory",
    "link": "link",
    "sparse": "sparse",
}
TIMEOUT_SECONDS = 60.0
trees = st.dictionaries(st.lists(names, min_size=1, max_size=3).map(tuple), st.binary(max_size=100), max_size=6)
"""Contents of files by the parts of their paths."""


@pytest.fixture
def directory(tmp_path: Path) -> ExecutionDirectory:
    """An execution's directory with nothing in it."""
    path = tmp_path / "execution"
    path.mkdir()
    return ExecutionDirectory(path)


@settings(max_examples=25)
@given(envelopes, telemetries, outcomes)
def test_documents_come_back_as_they_were_written(
    envelope: ExecutionEnvelope, telemetry: Telemetry, outcome: ExecutionOutcome
) -> None:
    with TemporaryDirectory() as path:
        directory = ExecutionDirectory(Path(path))
        directory.write_envelope(envelope)
        directory.write_telemetry(telemetry)
        directory.write_outcome(outcome)
        assert directory.read_envelope() == envelope
        assert directory.read_telemetry() == telemetry
        assert directory.read_outcome() == outcome
        assert sorted(entry.name for entry in Path(path).iterdir()) == [
            "envelope.json",
            "outcome.json",
            "telemetry.json",
        ]


@settings(max_examples=25)
@given(outcomes, outcomes)
def test_a_later_outcome_replaces_the_earlier(first: ExecutionOutcome, second: ExecutionOutcome) -> None:
    with TemporaryDirectory() as path:
        directory = ExecutionDirectory(Path(path))
        for outcome in (first, second):
            directory.write_outcome(outcome)
            assert directory.read_outcome() == outcome


def test_nothing_is_there_before_it_is_written(directory: ExecutionDirectory) -> None:
    assert directory.read_outcome() is None
    assert directory.read_telemetry() is None
    assert directory.read_claim() is None
    assert not directory.is_closed()


def test_the_directory_is_made_for_the_user_alone(prepare: Prepare) -> None:
    path, _ = prepare("noop")
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_reader_never_sees_half_a_document(directory: ExecutionDirectory) -> None:
    long = Telemetry(host="x" * 100_000)
    directory.write_telemetry(long)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            directory.write_telemetry(long)

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        for _ in range(300):
            assert directory.read_telemetry() == long
        stop.set()
        writing.result(TIMEOUT_SECONDS)


def test_an_outcome_that_cannot_be_forced_to_disk_is_not_there(
    directory: ExecutionDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        directory.write_outcome(ExecutionOutcome(execution_id=1))
    assert list(directory.path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("envelope.json", ExecutionDirectory.read_envelope),
        ("telemetry.json", ExecutionDirectory.read_telemetry),
        ("outcome.json", ExecutionDirectory.read_outcome),
        ("claim.json", ExecutionDirectory.read_claim),
    ],
)
def test_a_document_of_another_version_is_refused_before_it_is_parsed(
    directory: ExecutionDirectory, name: str, read: Callable[[ExecutionDirectory], object]
) -> None:
    (directory.path / name).write_text('{"schema_version": 2, "unknown": [1, 2]}')
    with pytest.raises(SchemaMismatchError, match=r"version 2, .* reads 1"):
        read(directory)


class TestClaim:
    """One worker has an execution, once."""

    def test_the_first_has_it_and_another_does_not(self, directory: ExecutionDirectory) -> None:
        first, second = Claim.of_this_process(), Claim.of_this_process()
        assert directory.claim(first)
        assert not directory.claim(second)
        assert directory.read_claim() == first

    def test_whoever_finds_its_own_claim_has_it(self, directory: ExecutionDirectory) -> None:
        claim = Claim.of_this_process()
        assert directory.claim(claim)
        assert directory.claim(claim)

    @pytest.mark.parametrize(("method", "name"), [("claim", "claim.json"), ("close", "closed.json")])
    def test_of_many_processes_exactly_one_wins(self, directory: ExecutionDirectory, method: str, name: str) -> None:
        command = [sys.executable, "-m", "tests.execution.claim_race", str(directory.path), "40", method]
        raced = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_SECONDS)
        assert raced.stdout == "1"
        assert [path.name for path in directory.path.iterdir()] == [name]

    def test_of_many_threads_exactly_one_wins(self, directory: ExecutionDirectory) -> None:
        start = threading.Barrier(16)

        def claim() -> bool:
            own = Claim.of_this_process()
            start.wait(TIMEOUT_SECONDS)
            return directory.claim(own)

        with ThreadPoolExecutor(16) as threads:
            won = [future.result(TIMEOUT_SECONDS) for future in [threads.submit(claim) for _ in range(16)]]
        assert won.count(True) == 1

    def test_a_claim_of_a_living_process_is_alive(self) -> None:
        claim = Claim.of_this_process()
        assert claim.is_of_this_host()
        assert claim.is_alive_here()

    @pytest.mark.parametrize("change", [{"boot_id": "other"}, {"process_started": "1"}, {"pid": 2**22 + 1}])
    def test_a_claim_of_an_earlier_boot_or_process_is_not(self, change: dict[str, object]) -> None:
        assert not Claim.of_this_process().model_copy(update=change).is_alive_here()


class TestClosing:
    """An attempt is given up once."""

    def test_it_is_closed_from_then_on(self, directory: ExecutionDirectory) -> None:
        assert directory.close("no sign of life")
        assert directory.is_closed()
        assert not directory.close("another reason")

    def test_one_that_was_never_dispatched_can_be_closed(self, tmp_path: Path) -> None:
        directory = ExecutionDirectory(tmp_path / "never" / "made")
        assert directory.close("its dispatch failed")
        assert directory.is_closed()


class TestWaitingForDocuments:
    """Shared file systems show files late."""

    def test_an_envelope_that_appears_late_is_read(self, prepare: Prepare) -> None:
        path, _ = prepare("noop")
        envelope, hidden = path / "envelope.json", path / "hidden.json"
        envelope.rename(hidden)
        with ThreadPoolExecutor() as threads:
            reading = threads.submit(ExecutionDirectory(path).read_envelope, TIMEOUT_SECONDS)
            wait_until(reading.running)
            hidden.rename(envelope)
            assert reading.result(TIMEOUT_SECONDS).definition.diagnostic == "noop"

    def test_an_outcome_that_appears_late_is_read(self, directory: ExecutionDirectory) -> None:
        outcome = ExecutionOutcome(execution_id=5)
        with ThreadPoolExecutor() as threads:
            reading = threads.submit(directory.read_outcome, TIMEOUT_SECONDS)
            wait_until(reading.running)
            directory.write_outcome(outcome)
            assert reading.result(TIMEOUT_SECONDS) == outcome

    def test_waiting_ends_after_the_timeout(self, directory: ExecutionDirectory) -> None:
        assert directory.read_outcome(0.01) is None
        with pytest.raises(FileNotFoundError):
            directory.read_envelope(0.01)


class TestManifest:
    """The bundles and what the output bundle names, and nothing else."""

    @settings(max_examples=25)
    @given(trees)
    def test_it_lists_what_is_named_with_size_and_hash(self, tree: dict[tuple[str, ...], bytes]) -> None:
        with TemporaryDirectory() as path:
            written = write_tree(Path(path), tree)
            named = {name: written[name] for name in sorted(written)[::2] if is_free(name)}
            written |= leave_bundles(Path(path), named)
            records = manifest(Path(path))
            described = {record.path: (record.size_bytes, record.sha256) for record in records}
            assert described == {name: written[name] for name in {*named, *BUNDLES}}
            assert list(records) == sorted(records, key=lambda record: record.path)

    def test_what_is_not_named_is_not_looked_at(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "dangling").symlink_to("nowhere")
        os.mkfifo(tmp_path / "pipe")
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(4 << 40)
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
        leave_bundles(tmp_path, [])
        assert {record.path for record in manifest(tmp_path)} == set(BUNDLES)

    def test_a_large_file_is_hashed_whole(self, tmp_path: Path) -> None:
        content = os.urandom((3 << 20) + 1)
        (tmp_path / "large").write_bytes(content)
        leave_bundles(tmp_path, ["large"])
        (record,) = (record for record in manifest(tmp_path) if record.path == "large")
        assert (record.size_bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())

    def test_progress_is_told_and_may_stop_it(self, tmp_path: Path) -> None:
        (tmp_path / "large").write_bytes(bytes(3 << 20))
        leave_bundles(tmp_path, ["large"])
        seen: list[tuple[str, int]] = []

        def stop_soon(name: str, read_bytes: int) -> None:
            seen.append((name, read_bytes))
            if read_bytes > 1 << 20:
                raise InterruptedError(name)

        with pytest.raises(InterruptedError, match="large"):
            manifest(tmp_path, stop_soon)
        assert seen == [("large", 1 << 20), ("large", 2 << 20)]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"data": {"a": {"filename": "../b"}}}', b"\xff"])
    def test_an_output_bundle_that_is_none_is_refused(self, tmp_path: Path, content: bytes) -> None:
        leave_bundles(tmp_path, [])
        (tmp_path / OUTPUT_BUNDLE).write_bytes(content)
        with pytest.raises(ResultValidationError, match="is no output bundle"):
            manifest(tmp_path)

    @pytest.mark.parametrize("kind", ODD_KINDS)
    @pytest.mark.parametrize("name", [*BUNDLES, "named"])
    def test_what_is_no_regular_file_is_refused_at_once(self, tmp_path: Path, kind: str, name: str) -> None:
        leave_bundles(tmp_path, ["named"])
        (tmp_path / "named").touch()
        (tmp_path / name).unlink()
        words = leave_odd_file(tmp_path / name, kind)
        with pytest.raises(ResultValidationError, match=f"{name}.*{words}"):
            manifest(tmp_path)


class TestCheckedFiles:
    """A result names regular files of its own directory alone."""

    def test_a_file_below_the_output_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "plots").mkdir()
        (tmp_path / "plots" / "map.png").touch()
        check_files(bundle_of("plots/map.png"), tmp_path)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("missing", "does not exist"),
            ("missing/file", "does not exist"),
            ("file/below", "does not exist"),
            ("folder", "is a directory"),
            ("link", "passes through a link"),
            ("linked/passwd", "passes through a link"),
            ("folder/back/file", "passes through a link"),
        ],
    )
    def test_anything_else_is_refused_with_a_message(self, tmp_path: Path, name: str, words: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "back").symlink_to("..")
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "linked").symlink_to("/etc")
        with pytest.raises(ResultValidationError, match=f"data 'it' names '{name}', which .*{words}"):
            check_files(bundle_of(name), tmp_path)

    @pytest.mark.parametrize("kind", ODD_KINDS)
    def test_what_is_no_regular_file_is_refused_at_once(self, tmp_path: Path, kind: str) -> None:
        words = leave_odd_file(tmp_path / "odd", kind)
        with pytest.raises(ResultValidationError, match=words):
            check_files(bundle_of("odd"), tmp_path)

    @pytest.mark.parametrize(
        "name", ["*bold* [a](b) <i>.nc", "two\nlines", "tab\there", "\u202egpj.exe", "Übersicht 1.png"]
    )
    def test_a_name_is_text_whatever_it_means_elsewhere(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("1")
        leave_bundles(tmp_path, [name])
        assert name in {record.path for record in manifest(tmp_path)}

    def test_a_name_that_is_not_utf_8_is_refused(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"\xff.nc")
        (tmp_path / name).touch()
        with pytest.raises(ResultValidationError, match="not UTF-8"):
            check_files(bundle_of(name), tmp_path)

    def test_a_file_with_holes_is_accepted_where_it_could_be_copied(self, tmp_path: Path) -> None:
        with (tmp_path / "holes").open("wb") as file:
            file.truncate(1 << 29)
        check_files(bundle_of("holes"), tmp_path)

    def test_a_scratch_directory_behind_a_link_is_accepted(self, tmp_path: Path) -> None:
        (tmp_path / "real" / "output").mkdir(parents=True)
        (tmp_path / "real" / "output" / "file").touch()
        (tmp_path / "scratch").symlink_to("real")
        check_files(bundle_of("file"), tmp_path / "scratch" / "output")

    def test_an_output_directory_that_is_a_link_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "output").symlink_to("/etc")
        with pytest.raises(ResultValidationError, match="passes through a link"):
            check_files(bundle_of("passwd"), tmp_path / "output")


def bundle_of(*names: str) -> OutputBundle:
    """Return an output bundle that names some files; the first is called `it`."""
    short = ["it", *(f"it{number}" for number in range(1, len(names)))]
    return OutputBundle(data={key: OutputFile(filename=name) for key, name in zip(short, names, strict=False)})


def leave_bundles(output: Path, names: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Leave the bundles of an execution whose output bundle names some files; return size and hash of each."""
    (output / METRIC_BUNDLE).write_text("{}")
    (output / SERIES).write_text("{}")
    (output / OUTPUT_BUNDLE).write_text(bundle_of(*names).model_dump_json())
    contents = {name: (output / name).read_bytes() for name in BUNDLES}
    return {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()}


def is_free(name: str) -> bool:
    """Whether a name is none of a bundle's."""
    return name.split("/", maxsplit=1)[0] not in BUNDLES


def leave_odd_file(path: Path, kind: str) -> str:
    """Make something that is no regular file to be copied; return what it is called."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
            bound.bind(path.name)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which never ends
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    else:
        with path.open("wb") as file:
            file.truncate(4 << 40)
    return ODD_KINDS[kind]


def write_tree(root: Path, tree: dict[tuple[str, ...], bytes]) -> dict[str, tuple[int, str]]:
    """Write files, but for those whose name is taken by a directory; return size and hash by path."""
    written = {}
    for parts, content in tree.items():
        if any(parts == other[: len(parts)] and parts != other for other in tree):
            continue
        path = root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written["/".join(parts)] = (len(content), hashlib.sha256(content).hexdigest())
    return written

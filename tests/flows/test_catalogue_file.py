"""The catalogue file may save work; it must never change what a scan finds, nor be the reason that a solve fails."""

import errno
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.file_fingerprint import current_fingerprint
from climate_ref_prefect.flows.planning.catalogue_file import FILE_NAME, CatalogueFile, open_catalogue_file
from climate_ref_prefect.flows.planning.planning_inputs import planning_inputs
from tests.diagnostics.cmip6_trees import DRS, STEM, add

MODELS = ("Alpha", "Beta", "Gamma")


def of_model(model: str) -> str:
    return DRS.replace("CanESM5", model)


def file_of(root: Path, model: str, period: str = "185001-201412") -> Path:
    return root / of_model(model) / f"{STEM.replace('CanESM5', model)}_{period}.nc"


HOUR, DAY = 3600.0, 86400.0


def look(home: Path, root: Path, later_seconds: float = HOUR) -> Catalogue:
    """Scan with the catalogue file, as if every directory had been the same for long."""
    file = CatalogueFile(home / FILE_NAME, root, clock=lambda: time.time() + later_seconds)
    file.load()
    catalogue = scan(root, file)
    file.save()
    return catalogue


def wait_for_another_time(directory: Path) -> None:
    """Wait until the file system gives a later time than it gave to what has been written so far."""
    probe = directory / "probe"
    probe.touch()
    before = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == before:
        os.utime(probe)


@contextmanager
def counted_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[list[str]]:
    """Note the paths for which a function of `os` is called."""
    called: list[str] = []
    real: Callable[..., object] = getattr(os, name)

    def counting(path: object, *args: object, **kwargs: object) -> object:
        if isinstance(path, str):  # The removal of a temporary directory uses descriptors.
            called.append(path)
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, counting)
        yield called


def listed(monkeypatch: pytest.MonkeyPatch, home: Path, root: Path) -> list[str]:
    """Return the directories that a look lists."""
    with counted_calls(monkeypatch, "scandir") as called:
        look(home, root)
    return called


def test_a_directory_that_has_not_changed_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        add(tmp_path / "data", of_model(model))
    first = look(tmp_path, tmp_path / "data")
    with counted_calls(monkeypatch, "scandir") as called:
        assert look(tmp_path, tmp_path / "data") == first
    assert called == []


def test_only_the_directory_that_has_changed_is_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        add(tmp_path / "data", of_model(model))
    look(tmp_path, tmp_path / "data")
    wait_for_another_time(tmp_path)
    add(tmp_path / "data", of_model("Beta"), "201501-201512")
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == [str(tmp_path / "data" / of_model("Beta"))]
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []


def test_a_version_that_is_added_in_a_chain_of_directories_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path / "data")
    look(tmp_path, tmp_path / "data")
    wait_for_another_time(tmp_path)
    newer = DRS.replace("v2019", "v2020")
    add(tmp_path / "data", newer)
    above, added = str((tmp_path / "data" / newer).parent), str(tmp_path / "data" / newer)
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == [above, added]
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []
    assert [one.facets["version"] for one in look(tmp_path, tmp_path / "data").datasets] == ["v20200429"]
    shutil.rmtree(added)
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == [above]
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []
    assert look(tmp_path, tmp_path / "data") == scan(tmp_path / "data")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, path: str) -> None:
    """Let a function of `os` fail for a path as it does where a disk or server fails."""
    real: Callable[..., object] = getattr(os, name)

    def failing_for_one(asked: object, *args: object, **kwargs: object) -> object:
        if asked == path:
            raise OSError(errno.EIO, "Input/output error", path)
        return real(asked, *args, **kwargs)

    monkeypatch.setattr(os, name, failing_for_one)


@pytest.mark.parametrize("depth", range(len(DRS.split("/"))))
def test_a_directory_of_a_chain_that_fails_is_left_out_and_known_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, depth: int
) -> None:
    add(tmp_path / "data")
    add(tmp_path / "data" / "other", of_model("Alpha"))
    before = look(tmp_path, tmp_path / "data")
    broken = str(tmp_path / "data" / Path(*DRS.split("/")[: depth + 1]))
    with monkeypatch.context() as patch:
        for name, path in (("stat", f"{broken}/."), ("scandir", broken)):
            failing(patch, name, path)
        assert [one.facets["source_id"] for one in look(tmp_path, tmp_path / "data").datasets] == ["Alpha"]
    assert "Input/output error); what is below it is left out" in caplog.text
    assert look(tmp_path, tmp_path / "data") == before
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []


@pytest.mark.parametrize("files", [1, 7, 8, 20])
def test_of_several_files_the_one_that_is_rewritten_or_fails_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, files: int
) -> None:
    *_, file = add(tmp_path / "data", DRS, *(f"{1850 + year}01-{1850 + year}12" for year in range(files)))
    prints = [look(tmp_path, tmp_path / "data").datasets[0].fingerprint]
    os.utime(file, ns=(0, 1))
    prints.append(look(tmp_path, tmp_path / "data").datasets[0].fingerprint)
    assert prints[-1] == current_fingerprint(look(tmp_path, tmp_path / "data").datasets[0].files)
    failing(monkeypatch, "stat", str(file))
    failing(monkeypatch, "stat", file.name)
    (dataset,) = look(tmp_path, tmp_path / "data").datasets
    assert len({*prints, dataset.fingerprint}) == 3
    assert len(dataset.files) == files
    assert f"Cannot look at {str(file)!r} (Input/output error); what reads it will fail." in caplog.text


def test_a_file_that_is_rewritten_in_place_is_noticed(tmp_path: Path) -> None:
    (file,) = add(tmp_path / "data")
    before = look(tmp_path, tmp_path / "data").datasets[0].fingerprint
    directory = file.parent.stat()
    with file.open("r+") as stream:
        stream.write("NOT")
    os.utime(file, ns=(0, 1))
    assert file.parent.stat().st_mtime_ns == directory.st_mtime_ns
    rewritten = look(tmp_path, tmp_path / "data").datasets[0].fingerprint
    assert rewritten not in {before, ""}
    with file.open("a") as stream:
        stream.write("longer")
    os.utime(file, ns=(0, 1))
    assert look(tmp_path, tmp_path / "data").datasets[0].fingerprint not in {before, rewritten}


def test_a_directory_that_has_just_changed_is_listed_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path / "data")
    now = (tmp_path / "data" / DRS).stat().st_ctime

    def listed_by(clock: float) -> list[str]:
        file = CatalogueFile(tmp_path / FILE_NAME, tmp_path / "data", clock=lambda: clock)
        file.load()
        with counted_calls(monkeypatch, "scandir") as called:
            scan(tmp_path / "data", file)
        file.save()
        return called

    directories = len(DRS.split("/")) + 1
    assert len(listed_by(now)) == directories
    assert len(listed_by(now + HOUR)) == directories
    assert listed_by(now + HOUR) == []


operation = st.tuples(
    st.sampled_from(
        ["add", "remove file", "remove directory", "rewrite", "stranger", "link file", "link version", "unlink target"]
    ),
    st.sampled_from(MODELS),
    st.sampled_from(["185001-199912", "200001-201412"]),
)


def change(root: Path, what: str, model: str, period: str) -> None:
    """Make a change as people and archives make them."""
    file = file_of(root, model, period)
    elsewhere = root.parent / "elsewhere" / file.name
    match what:
        case "add":
            if not file.is_symlink():
                add(root, of_model(model), period)
        case "remove file":
            file.unlink(missing_ok=True)
        case "remove directory":
            shutil.rmtree(file.parents[2], ignore_errors=True)
        case "rewrite" if file.exists():
            with file.open("a") as stream:
                stream.write("more")
        case "stranger":
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / f"notes_{period}.nc").touch()
        case "link file":
            elsewhere.parent.mkdir(exist_ok=True)
            elsewhere.write_text("far away")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.symlink_to(elsewhere)
        case "link version" if file.parent.exists() and not (link := file.parent.parent / "v20990101").is_symlink():
            link.symlink_to(file.parent.name)
        case "unlink target":
            elsewhere.unlink(missing_ok=True)


def what_is_found(scanning: Callable[[], Catalogue]) -> Catalogue | str:
    try:
        return scanning()
    except BadInputError as error:
        return str(error)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(operation, max_size=5), min_size=2, max_size=4))
def test_what_is_found_is_the_same_with_the_file_and_without(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, str]]]
) -> None:
    home = tmp_path_factory.mktemp("home")
    root = home / "data"
    for model in MODELS:
        add(root, of_model(model), "185001-199912")
    for operations in rounds:
        for what, model, period in operations:
            change(root, what, model, period)
        assert what_is_found(lambda: look(home, root)) == what_is_found(lambda: scan(root))
        wait_for_another_time(home)


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def other_names(file: Path) -> None:
    written = file.read_bytes()
    assert b"Alpha" in written
    file.write_bytes(written.replace(b"Alpha", b"Aleph"))


def other_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 12345")
        connection.execute("DROP TABLE directories")
        connection.commit()


def without_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE directories")
        connection.commit()


@pytest.mark.parametrize(
    "damage",
    [
        half,
        other_names,
        other_version,
        without_table,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no database at all" * 1000),
        lambda file: file.unlink(),
    ],
    ids=["half of it", "other names", "another version", "no table", "empty", "no database", "gone"],
)
def test_a_file_that_cannot_be_used_is_made_again(
    tmp_path: Path, damage: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for model in MODELS:
        add(tmp_path / "data", of_model(model))
    first = look(tmp_path, tmp_path / "data")
    damage(tmp_path / FILE_NAME)
    with caplog.at_level(logging.INFO):
        assert look(tmp_path, tmp_path / "data") == first
    assert all(FILE_NAME in record.getMessage() for record in caplog.records)
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []


def test_a_file_that_is_locked_is_used_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "data")
    look(tmp_path, tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as locking:
        locking.execute("BEGIN EXCLUSIVE")
        assert listed(monkeypatch, tmp_path, tmp_path / "data") == []
        wait_for_another_time(tmp_path)
        add(tmp_path / "data", of_model("Beta"))
        assert look(tmp_path, tmp_path / "data") == scan(tmp_path / "data")
        assert listed(monkeypatch, tmp_path, tmp_path / "data") == []


@pytest.mark.parametrize("place", ["a directory", "a missing state directory"])
def test_where_no_file_can_be_written_planning_goes_without(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path / "data")
    home = tmp_path / "home"
    if place == "a directory":
        (home / FILE_NAME).mkdir(parents=True)
    for _ in range(2):
        caplog.clear()
        assert look(home, tmp_path / "data") == scan(tmp_path / "data")
        assert "cannot be written" in caplog.text
    assert sorted(path.name for path in home.glob("*")) == ([FILE_NAME] if home.exists() else [])


def test_solves_at_the_same_time_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in MODELS:
        add(tmp_path / "data", of_model(model))
    expected = scan(tmp_path / "data")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: look(tmp_path, tmp_path / "data"), range(40)))
    assert all(one == expected for one in found)
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", FILE_NAME]


def test_other_data_stays_known_for_some_months(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        add(tmp_path / name)
        look(tmp_path, tmp_path / name)
    assert listed(monkeypatch, tmp_path, tmp_path / "a") == []
    add(tmp_path / "b", of_model("Beta"))
    with counted_calls(monkeypatch, "stat") as called:
        look(tmp_path, tmp_path / "b", 80 * DAY)
    assert not [path for path in called if path.startswith(str(tmp_path / "a"))]  # It may be on a server that is away.
    assert bytes(tmp_path / "a") in (tmp_path / FILE_NAME).read_bytes()
    wait_for_another_time(tmp_path)
    add(tmp_path / "b", of_model("Gamma"))
    look(tmp_path, tmp_path / "b", 100 * DAY)
    assert bytes(tmp_path / "a") not in (tmp_path / FILE_NAME).read_bytes()


def test_damage_that_shows_only_when_it_is_written_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path / "data")
    look(tmp_path, tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(
            "CREATE TRIGGER damaged BEFORE DELETE ON directories BEGIN SELECT raise(FAIL, 'damaged'); END"
        )
        connection.commit()
    wait_for_another_time(tmp_path)
    add(tmp_path / "data", of_model("Beta"))
    assert look(tmp_path, tmp_path / "data") == scan(tmp_path / "data")
    assert caplog.text == ""
    assert listed(monkeypatch, tmp_path, tmp_path / "data") == []


def test_what_a_killed_solve_was_writing_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f".{FILE_NAME}-of-a-killed-one" / FILE_NAME
    left.parent.mkdir()
    left.touch()
    add(tmp_path / "data")
    look(tmp_path, tmp_path / "data", 0.5 * HOUR)
    assert left.exists()
    add(tmp_path / "data", of_model("Beta"))
    look(tmp_path, tmp_path / "data", 2 * HOUR)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", FILE_NAME]


def test_names_that_are_no_text_are_found_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (file,) = add(tmp_path / "data")
    (file.parent / os.fsdecode(b"caf\xe9.nc")).touch()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert look(tmp_path, tmp_path / "data") == scan(tmp_path / "data")
    assert "caf\\udce9.nc" in caplog.text.encode().decode()  # what is logged can be written


def test_a_rescan_lists_every_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "data")
    look(tmp_path, tmp_path / "data")
    with counted_calls(monkeypatch, "scandir") as called:
        with planning_inputs() as inputs:
            inputs.catalogue(tmp_path / "data", tmp_path)
        assert called == []
        with planning_inputs() as inputs:
            inputs.catalogue(tmp_path / "data", tmp_path, rescan=True)
    assert len(called) == len(DRS.split("/")) + 1


def test_within_a_solve_each_file_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = add(tmp_path / "data")
    with counted_calls(monkeypatch, "stat") as called, planning_inputs():
        for _ in range(2):  # The command plans, and then the flow, within what the command has opened.
            with planning_inputs() as inputs:
                inputs.catalogue(tmp_path / "data", tmp_path)
    assert called.count(str(file)) == 1


def test_nothing_is_kept_of_a_scan_that_fails(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (
        pytest.raises(BadInputError, match=r"no \.nc file"),
        open_catalogue_file(tmp_path, tmp_path / "data") as listings,
    ):
        scan(tmp_path / "data", listings)
    assert not (tmp_path / FILE_NAME).exists()

"""The catalogue: data sets from paths alone, in real trees and in hostile ones."""

import errno
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.errors import BadInputError
from tests.diagnostics.cmip6_trees import DRS, STEM, add
from tests.failing_system_calls import failing

PER_MODEL = DataRequirement(group_by=("source_id", "experiment_id", "member_id", "table_id", "variable_id"))


@pytest.fixture(scope="module")
def sample() -> Catalogue:
    found = importlib.util.find_spec("esmvaltool_sample_data")
    if found is None or found.origin is None:
        pytest.skip("esmvaltool-sample-data is not installed")
    return scan(Path(found.origin).parent)


def test_the_sample_data(sample: Catalogue) -> None:
    assert Counter(dataset.facets["table_id"] for dataset in sample.datasets) == {"Amon": 42, "day": 34}
    assert sum(len(dataset.files) for dataset in sample.datasets) == 326
    assert all(file.is_absolute() and file.is_file() for dataset in sample.datasets for file in dataset.files)
    assert len({dataset.fingerprint for dataset in sample.datasets}) == 76


SCAN = """
import logging, sys
from pathlib import Path
from climate_ref_prefect.diagnostics.data_catalogue import scan
logging.basicConfig(format="%(message)s")
try:
    print(*(dataset.facets["source_id"] for dataset in scan(Path(sys.argv[1])).datasets))
except Exception as error:
    print(type(error).__name__, error)
"""


def scan_with(root: Path, faults: Mapping[str, str]) -> tuple[str, str]:
    """Scan in a process in which calls of the system fail; return the models that were found, and the warnings."""
    command = [sys.executable, "-c", SCAN, str(root)]
    ended = subprocess.run(command, env={**os.environ, **faults}, capture_output=True, text=True, check=True)
    return ended.stdout.strip(), ended.stderr


@pytest.mark.parametrize(
    ("call", "number"),
    [
        *((call, number) for number in (errno.ESTALE, errno.EIO, errno.ENOTCONN) for call in ("opendir", "readdir")),
        ("opendir", errno.EACCES),
        ("opendir", errno.ELOOP),
        ("opendir", errno.EHOSTDOWN),
        ("opendir", errno.ETIMEDOUT),
    ],
)
def test_a_directory_that_cannot_be_read_is_left_out_with_the_reason(tmp_path: Path, call: str, number: int) -> None:
    for model in ("GOOD", "BAD"):
        add(tmp_path, DRS.replace("CanESM5", model))
    found, warnings = scan_with(tmp_path, failing("/BAD/historical", **{call: number}))
    assert found == "GOOD"
    assert warnings.count("\n") == 1
    assert "/BAD/historical" in warnings
    assert os.strerror(number) in warnings


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_root_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, number: int) -> None:
    root = tmp_path / "data"
    add(root)
    found, warnings = scan_with(root, failing("/data", opendir=number))
    assert found == f"BadInputError The data directory {root} cannot be read: {os.strerror(number)}."
    assert warnings == ""


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_a_file_that_cannot_be_looked_at_fails_only_what_reads_it(tmp_path: Path, number: int) -> None:
    add(tmp_path)
    found, warnings = scan_with(tmp_path, failing(".nc", stat=number))
    assert found == "CanESM5"
    assert os.strerror(number) in warnings
    assert STEM in warnings


def test_the_sample_data_in_groups(sample: Catalogue) -> None:
    groups = sample.groups(PER_MODEL.model_copy(update={"filters": {"variable_id": ("ta",), "table_id": ("Amon",)}}))
    assert len(groups) == 42
    assert groups == tuple(sorted(groups, key=lambda group: tuple(group.selectors.values())))
    (canesm,) = (group for group in groups if group.selectors["source_id"] == "CanESM5")
    assert canesm.key == "CanESM5.historical.r1i1p1f1.Amon.ta"
    assert canesm.datasets[0].instance_id == "CMIP6.CMIP.CCCma.CanESM5.historical.r1i1p1f1.Amon.ta.gn.v20190429"


def test_scanning_the_sample_data_is_quick(sample: Catalogue) -> None:
    started = time.process_time()
    scan(sample.root)
    assert time.process_time() - started < 0.5  # 10 ms where nothing else runs


@pytest.mark.parametrize("depth", [0, 1, 5, 10])
def test_the_root_may_be_above_at_or_below_the_era(tmp_path: Path, depth: int) -> None:
    (file,) = add(tmp_path / "data")
    root = tmp_path / "data" / Path(*DRS.split("/")[:depth])
    (dataset,) = scan(root).datasets
    assert dataset.instance_id == DRS.replace("/", ".")
    assert dataset.facets == dict(zip(FACETS, DRS.split("/"), strict=True))
    assert dataset.files == (file,)


def test_a_relative_root_gives_absolute_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = add(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert scan(Path()).datasets[0].files == tuple(files)


def test_files_are_in_order_of_time(tmp_path: Path) -> None:
    add(tmp_path, DRS, "195001-199912", "200001-201412", "185001-194912")
    periods = [file.stem.rpartition("_")[2] for file in scan(tmp_path).datasets[0].files]
    assert periods == ["185001-194912", "195001-199912", "200001-201412"]


def test_a_file_without_a_time_range_counts(tmp_path: Path) -> None:
    drs = "CMIP6/CMIP/CCCma/CanESM5/historical/r1i1p1f1/fx/areacella/gn/v1"
    file = tmp_path / drs / "areacella_fx_CanESM5_historical_r1i1p1f1_gn.nc"
    file.parent.mkdir(parents=True)
    file.touch()
    assert scan(tmp_path).datasets[0].files == (file,)


def test_only_the_latest_version_counts(tmp_path: Path) -> None:
    base = DRS.rpartition("/")[0]
    for version in ("v20190429", "v20200101", "v9", "v20191231"):
        add(tmp_path, f"{base}/{version}")
    (tmp_path / base / "latest").symlink_to("v9")
    (tmp_path / base / "v20300101").mkdir()
    assert [dataset.facets["version"] for dataset in scan(tmp_path).datasets] == ["v20200101"]


def test_of_two_replicas_it_is_always_the_first_path(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        add(tmp_path / name)
    (dataset,) = scan(tmp_path).datasets
    assert dataset.files[0].is_relative_to(tmp_path / "a")


def test_the_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    file, _ = add(tmp_path, DRS, "185001-194912", "195001-201412")
    seen = [scan(tmp_path).datasets[0].fingerprint]
    assert scan(tmp_path).datasets[0].fingerprint == seen[0]
    os.utime(file, ns=(0, 1))
    seen.append(scan(tmp_path).datasets[0].fingerprint)
    file.write_text("longer than it was before, whatever the time says")
    os.utime(file, ns=(0, 1))
    seen.append(scan(tmp_path).datasets[0].fingerprint)
    renamed = file.rename(file.with_name(file.name.replace("1850", "1851")))
    seen.append(scan(tmp_path).datasets[0].fingerprint)
    renamed.unlink()
    seen.append(scan(tmp_path).datasets[0].fingerprint)
    assert len(set(seen)) == 5


def test_the_fingerprint_does_not_depend_on_where_the_data_is(tmp_path: Path) -> None:
    for root in ("a", "b"):
        (file,) = add(tmp_path / root)
        os.utime(file, ns=(0, 1))
    one, other = scan(tmp_path / "a").datasets[0], scan(tmp_path / "b").datasets[0]
    assert one.fingerprint == other.fingerprint


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere does not exist\."):
        scan(tmp_path / "nowhere")


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (file,) = add(tmp_path)
    with pytest.raises(BadInputError, match="is a file; give the directory"):
        scan(file)
    with pytest.raises(BadInputError, match="cannot be read"):
        scan(file / "below")
    with pytest.raises(BadInputError, match="cannot be read"):
        scan(Path("a\0b"))


def test_an_empty_tree_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"<mip_era>/<activity_id>/.*/<version>.*found no \.nc file at all"):
        scan(tmp_path)


def test_a_tree_of_something_else_is_refused_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for name in ("b.nc", "a.nc", "c.txt"):
        (tmp_path / "flat" / name).touch()
    with pytest.raises(BadInputError, match=r"found 2 \.nc files that do not fit, for example '.*/flat/a\.nc'"):
        scan(tmp_path)


def test_strangers_beside_data_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (file,) = add(tmp_path)
    for name in (f"tas{STEM[2:]}_1.nc", f"{STEM}X_1.nc", f"{STEM}_1.nc.part", f".{STEM}_1.nc", f"{STEM}_\n.nc", ".nc"):
        (file.parent / name).touch()
    (file.parent / f"{STEM}_186001-.nc").mkdir()
    with caplog.at_level(logging.INFO):
        assert scan(tmp_path).datasets[0].files == (file,)
    assert "3 .nc files below" in caplog.text


@pytest.mark.parametrize(
    "drs",
    [
        DRS.replace("CMIP6/", "CMIP/"),
        DRS.replace("v20190429", "latest"),
        DRS.replace("v20190429", "v2019b"),
        DRS.replace("CanESM5", "Can ESM5"),
        DRS.replace("CanESM5", "Can.ESM5"),
        DRS.replace("CanESM5", "-CanESM5"),
        DRS.replace("CCCma", "CC\nCma"),
        DRS.replace("CCCma", "Ünïcode"),
    ],
)
def test_directories_that_are_no_facets_do_not_fit(tmp_path: Path, drs: str) -> None:
    add(tmp_path, drs)
    with pytest.raises(BadInputError, match=r"1 \.nc files that do not fit"):
        scan(tmp_path)


def test_names_above_the_era_may_be_anything(tmp_path: Path) -> None:
    (file,) = add(tmp_path / "données $HOME; *\n'\"")
    assert scan(tmp_path).datasets[0].files == (file,)


def test_directories_whose_names_no_json_can_hold_are_left_out(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    (file,) = add(tmp_path)
    add(odd, DRS.replace("CanESM5", "Other"))
    assert [dataset.files for dataset in scan(tmp_path).datasets] == [(file,)]
    with pytest.raises(BadInputError, match="not UTF-8"):
        scan(odd)


def test_links_are_followed(tmp_path: Path) -> None:
    add(tmp_path / "disk1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "CMIP6").symlink_to(tmp_path / "disk1" / "CMIP6")
    assert scan(tmp_path / "root").datasets[0].files[0].is_relative_to(tmp_path / "root" / "CMIP6")


@pytest.mark.parametrize("version", ["a20190429", "v20190429", "z"])
def test_a_version_may_be_a_link_to_files_elsewhere(tmp_path: Path, version: str) -> None:
    # As archives have it: two links to one place, of which only one is named for a version.
    base = tmp_path / DRS.rpartition("/")[0]
    (base / "files").mkdir(parents=True)
    (base / "files" / f"{STEM}_185001-201412.nc").touch()
    (base / version).symlink_to("files")
    (base / "v20190429").unlink(missing_ok=True)
    (base / "v20190429").symlink_to("files")
    assert scan(tmp_path).datasets[0].files[0].parent == base / "v20190429"


def test_pipes_sockets_and_devices_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path)
    for model in ("Pipe", "Socket", "Device"):
        (file,) = add(tmp_path, DRS.replace("CanESM5", model))
        file.unlink()
        if model == "Pipe":
            os.mkfifo(file)
        elif model == "Socket":
            with socket.socket(socket.AF_UNIX) as bound:
                monkeypatch.chdir(file.parent)  # an address has 108 bytes at most
                bound.bind(file.name)
        else:
            file.symlink_to("/dev/zero")
    assert [dataset.facets["source_id"] for dataset in scan(tmp_path).datasets] == ["CanESM5"]
    assert sum("is a pipe, socket or device" in record.getMessage() for record in caplog.records) == 3


def test_links_in_circles_end(tmp_path: Path) -> None:
    (file,) = add(tmp_path / "root")
    (tmp_path / "root" / "up").symlink_to(tmp_path)
    (tmp_path / "root" / "self").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "broken.nc").symlink_to("broken.nc")
    (tmp_path / "root" / "knot").symlink_to("knot")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to-a").symlink_to(tmp_path / "a")
    (tmp_path / "root" / "out").symlink_to(tmp_path / "a")
    assert [dataset.files for dataset in scan(tmp_path / "root").datasets] == [(file,)]


def test_an_unreadable_file_concerns_only_its_own_execution(tmp_path: Path) -> None:
    add(tmp_path)
    (file,) = add(tmp_path, DRS.replace("CanESM5", "Broken"))
    file.unlink()
    file.symlink_to("nowhere")
    broken, healthy = scan(tmp_path).datasets
    assert (broken.files, healthy.facets["source_id"]) == ((file,), "CanESM5")
    (tmp_path / file.parent / "nowhere").touch()
    assert scan(tmp_path).datasets[0].fingerprint != broken.fingerprint


def test_a_directory_that_may_not_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(tmp_path)
    add(tmp_path, DRS.replace("CanESM5", "Closed"))
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("Closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [dataset.facets["source_id"] for dataset in scan(tmp_path).datasets] == ["CanESM5"]
    assert "Closed' (Permission denied); what is below it is left out" in caplog.text


def test_the_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for model in ("C", "A", "B"):
        add(tmp_path, DRS.replace("CanESM5", model), "1850-1851", "1852-1853")
    forwards = scan(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert scan(tmp_path) == forwards

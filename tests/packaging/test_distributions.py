"""What is shipped: exactly the files of the checkout, as plain files, whichever way they travel."""

import configparser
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.checkout import PACKAGE, package_files, pyproject

BESIDE_THE_PACKAGE = {
    "LICENSE",
    "MANIFEST.in",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    "setup.cfg",
    "src/climate_ref_prefect.egg-info",
}


def test_wheel_holds_the_files_of_the_checkout(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == package_files()


def test_wheel_holds_plain_files(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        modes = {entry.filename: stat.S_IFMT(entry.external_attr >> 16) for entry in archive.infolist()}
    assert {name for name, mode in modes.items() if mode not in {0, stat.S_IFREG}} == set()


def test_sdist_holds_the_files_of_the_checkout_once(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    package = {name for name in names if name.startswith(f"src/{PACKAGE}/")}
    assert package == {f"src/{name}" for name in package_files()}
    assert {name for name in names - package if not name.startswith(tuple(BESIDE_THE_PACKAGE))} == set()


def test_sdist_holds_plain_files(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        assert [member.name for member in archive if not (member.isreg() or member.isdir())] == []


def test_sdist_installs_the_files_of_the_checkout(installed: Path) -> None:
    found = {str(path.relative_to(installed)) for path in (installed / PACKAGE).rglob("*") if path.is_file()}
    assert found == package_files()


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "diagnostics/vocabulary.yaml",
        "store/sql/migrations/env.py",
        "store/sql/migrations/script.py.mako",
        "store/sql/migrations/versions/0001_first_schema.py",
    ],
)
def test_what_is_read_at_run_time_is_shipped(wheel: Path, name: str) -> None:
    with ZipFile(wheel) as archive:
        assert f"{PACKAGE}/{name}" in archive.namelist()


def test_entry_points_are_declared(wheel: Path) -> None:
    parser = configparser.ConfigParser()
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        parser.read_string(archive.read(name).decode())
    project = pyproject()["project"]
    declared = {"console_scripts": project["scripts"], **project["entry-points"]}
    assert {section: dict(parser[section]) for section in parser.sections()} == declared
    assert "climate-ref-prefect" in declared["console_scripts"]
    assert "demo" in declared["climate_ref_prefect.providers"]


def test_entry_points_load_from_what_was_installed(installed: Path, tmp_path: Path) -> None:
    program = """
import importlib.metadata, pathlib, sys
import climate_ref_prefect
assert pathlib.Path(climate_ref_prefect.__file__).is_relative_to(sys.argv[1]), climate_ref_prefect.__file__
(distribution,) = importlib.metadata.distributions(name="climate-ref-prefect", path=[sys.argv[1]])
for point in distribution.entry_points:
    point.load()
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(installed)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr

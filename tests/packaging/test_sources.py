"""Rules that every file of the checkout keeps."""

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.packaging.checkout import FOLDERS, ROOT, tracked

LONGEST_MODULE = 300

# Written so that this file does not match itself.
ADDRESSES = re.compile(
    r"pypi\.org|python[h]osted|registry\.npmjs|deb\.debian\.org"  # registries
    r"|--(?:extra-)?index-url|--find-[l]inks|file:///(?:opt|srv|mnt)\b"  # ways to name another one
    r"|/(?:root|work|farm)/"  # paths of one machine
)


def lines() -> Iterator[tuple[str, int, str]]:
    for name in tracked():
        path = ROOT / name
        content = b"" if path.is_symlink() else path.read_bytes()
        if b"\0" not in content:
            for number, line in enumerate(content.decode().splitlines(), start=1):
                yield name, number, line


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    assert [f"{name}:{number}: {line}" for name, number, line in lines() if ADDRESSES.search(line)] == []


def test_modules_are_short() -> None:
    modules = [name for name in tracked(*FOLDERS) if name.endswith(".py") and "/migrations/" not in name]
    assert modules != []
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in modules}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_folders_stand_on_top_and_are_linked_into_the_package() -> None:
    for folder in FOLDERS:
        link = ROOT / "src" / "climate_ref_prefect" / folder
        assert not (ROOT / folder).is_symlink()
        assert link.readlink() == Path("..", "..", folder)


def test_floors_import_only_what_lies_below() -> None:
    lint = Path(sysconfig.get_path("scripts"), "lint-imports")
    ended = subprocess.run([lint, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr

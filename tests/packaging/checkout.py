"""The files of this checkout, committed or about to be."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("diagnostics", "execution", "transports", "store", "flows", "ref", "testing")
PACKAGE = "climate_ref_prefect"


def tracked(*under: str) -> list[str]:
    """Return the files that Git knows or would add, links among them, relative to the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *under]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if (ROOT / name).is_symlink() or (ROOT / name).is_file()})


def copy_checkout(directory: Path) -> None:
    """Copy the checkout to build in, with its links, without whatever Git ignores."""
    for name in tracked():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def package_files() -> set[str]:
    """Return what the package must hold, each by its path below site-packages."""
    own = {name.removeprefix("src/") for name in tracked("src") if not (ROOT / name).is_symlink()}
    return own | {f"{PACKAGE}/{name}" for name in tracked(*FOLDERS)}


def pyproject() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())

"""Distributions of third parties, made on the spot: directories that are installed once they are on the search path."""

from collections.abc import Mapping
from pathlib import Path


def install(
    directory: Path, name: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """
    Install a distribution into a directory, as pip does with `--target`, and return the directory.

    Parameters
    ----------
    directory
        Is to be on `PYTHONPATH`.
    name
        Of the distribution.
    modules
        What each module says, by its name.
    entry_points
        The targets, by group and name.
    """
    metadata = directory / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join([*lines, ""]))
    for module, text in modules.items():
        (directory / f"{module}.py").write_text(text)
    return directory

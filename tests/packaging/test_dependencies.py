"""What the package imports is declared, and what is declared is used or has a reason."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions

from tests.packaging.checkout import FOLDERS, PACKAGE, ROOT, pyproject, tracked

NOT_IMPORTED = {
    "cryptography": "Dask makes its keys for TLS with it, and does not require it",
    "esmvaltool-sample-data": "the data of the demo, found by its distribution",
    "fastapi": "a bound for Prefect's server",
    "xarray": "the diagnostic of the tutorial opens its data with it",
    "psycopg": "SQLAlchemy loads it by the URL of the database",
}
"""Dependencies that are declared for other packages; docs/decisions/0002 has the reasons in full."""
TYPES_ONLY = {"_typeshed"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in lines}


def imports() -> Iterator[tuple[str, str]]:
    """Yield the distribution of each import of the package that is not of Python itself, and where it stands."""
    distributions = packages_distributions()
    for name in tracked(*FOLDERS):
        if name.endswith(".py"):
            for node in ast.walk(ast.parse((ROOT / name).read_bytes())):
                for module in modules_of(node):
                    top = module.partition(".")[0]
                    if top not in {*sys.stdlib_module_names, *TYPES_ONLY, PACKAGE}:
                        yield normal(distributions.get(top, [top])[0]), f"{name}:{getattr(node, 'lineno', 0)}"


def modules_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_what_is_imported_is_declared() -> None:
    missing = {f"{place} imports {name}" for name, place in imports() if name not in declared()}
    assert missing == set()


def test_what_is_declared_is_imported_or_has_a_reason() -> None:
    imported = {name for name, _ in imports()}
    assert declared() - imported - {normal(name) for name in NOT_IMPORTED} == set()
    assert imported & {normal(name) for name in NOT_IMPORTED} == set()


def test_every_dependency_has_its_reason_in_the_decisions() -> None:
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8").lower()
    assert [name for name in sorted(declared()) if not re.search(rf"\b{name.replace('-', '[- _]')}\b", page)] == []


def test_the_constraints_pin_every_dependency() -> None:
    pinned = {
        normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    assert declared() - pinned == set()


def test_data_files_of_the_package_exist() -> None:
    folders = {f"{PACKAGE}.{folder}": ROOT / folder for folder in FOLDERS} | {PACKAGE: ROOT / "src" / PACKAGE}
    for package, patterns in pyproject()["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list(folders[package].glob(pattern)), f"{package} has no {pattern}"

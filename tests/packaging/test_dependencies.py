"""What the package imports is declared, and what is declared is used or has a reason."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.version import Version

from tests.packaging.checkout import FOLDERS, PACKAGE, ROOT, pyproject, tracked

NOT_IMPORTED = {
    "climate-ref": "imported by name in ref/upstream.py alone, where it is installed",
    "climate-ref-core": "a bound: climate-ref asks for its core without one",
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


def pins(file: str) -> dict[str, Version]:
    lines = (line.partition("==") for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return {normal(name): Version(pin) for name, sign, pin in lines if sign}


def lower_bounds(*extras: str) -> dict[str, Version]:
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    requirements = [Requirement(line) for line in lines]
    unbounded = [str(one) for one in requirements if not any(part.operator == ">=" for part in one.specifier)]
    assert unbounded == [], "each needs a lower bound, that of constraints-oldest.txt"
    return {
        normal(one.name): Version(part.version)
        for one in requirements
        for part in one.specifier
        if part.operator == ">="
    }


def test_the_oldest_that_are_tested_are_the_lower_bounds() -> None:
    """On Python 3.11, which climate-ref does not support. What differs: scripts/freeze_constraints --oldest."""
    pinned = pins("constraints-oldest.txt")
    bounds = lower_bounds(
        *(extra for extra in pyproject()["project"]["optional-dependencies"] if extra != "climate-ref")
    )
    assert {name: pinned[name] for name in bounds} == bounds


def test_with_the_oldest_climate_ref_nothing_is_older_than_its_bound() -> None:
    """Some are newer than their bounds: what climate-ref and its own dependencies ask for."""
    pinned = pins("tests/ref/oldest-requirements.txt")
    bounds = lower_bounds("climate-ref", "postgres", "testing")
    assert [name for name in bounds if pinned[name] < bounds[name]] == []
    assert {name: pinned[name] for name in bounds if name.startswith(("climate-ref", "prefect"))} == {
        name: bound for name, bound in bounds.items() if name.startswith(("climate-ref", "prefect"))
    }


def test_data_files_of_the_package_exist() -> None:
    folders = {f"{PACKAGE}.{folder}": ROOT / folder for folder in FOLDERS} | {PACKAGE: ROOT / "src" / PACKAGE}
    for package, patterns in pyproject()["tool"]["setuptools"]["package-data"].items():
        for pattern in patterns:
            assert list(folders[package].glob(pattern)), f"{package} has no {pattern}"

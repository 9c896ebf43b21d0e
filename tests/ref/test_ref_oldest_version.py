"""What holds with the newest climate-ref and SQLAlchemy, in the environment of all tests, holds with the oldest."""

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.packaging.checkout import ROOT, pyproject
from tests.ref.oldest import install_this_package, oldest_environment, pinned, versions

CLIMATE_REF = ("climate-ref", "climate-ref-core", "climate-ref-example")
TESTS = ("tests/ref", "tests/ref/solve_of_example_provider.py")
NEED_ANOTHER_PROVIDER = ("test_ref_paths.py::test_the_software_of_ref_toml_is_found_by_a_worker_elsewhere",)
"""Fast tests that need more than the example provider, which is the only one there."""


def bound(name: str, sign: str) -> str:
    """Return the bound `>=` or `<` that pyproject.toml gives to a package."""
    project = pyproject()["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["climate-ref"]]
    (line,) = (line for line in lines if re.match(rf"{name}[<>]", line))
    found = re.search(rf"{sign}([0-9.]+)", line)
    assert found, line
    return found[1]


@pytest.mark.parametrize("name", ["climate-ref", "climate-ref-core"])
def test_the_oldest_that_is_tested_is_the_oldest_that_is_allowed(name: str) -> None:
    assert pinned(name) == f"{bound(name, '>=')}.0"


def test_sqlalchemy_is_tested_at_both_ends() -> None:
    """The newest is that of the environment of all tests; the oldest is as old as climate-ref lets it be."""
    newest, oldest = (tuple(map(int, one.split(".")[:2])) for one in (version("sqlalchemy"), pinned("sqlalchemy")))
    major, minor = map(int, bound("sqlalchemy", "<").split("."))
    assert newest == (major, minor - 1)
    assert oldest == tuple(map(int, bound("sqlalchemy", ">=").split(".")[:2]))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_fast_tests_and_a_real_solve_pass_with_the_oldest_climate_ref(tmp_path: Path) -> None:
    environment = oldest_environment()
    variables = install_this_package(environment, tmp_path)
    options = ["-p", "no:cacheprovider", "-q", "-m", "not slow", f"--basetemp={tmp_path / 'tests'}"]
    left_out = ["--ignore", __file__, *(f"--deselect=tests/ref/{test}" for test in NEED_ANOTHER_PROVIDER)]
    command = [str(environment / "bin" / "python"), "-m", "pytest", *options, *left_out, *TESTS]
    ended = subprocess.run(command, cwd=ROOT, env=variables, check=False, capture_output=True, encoding="utf-8")
    said = f"With {versions(environment)}:\n{ended.stdout[-8000:]}{ended.stderr[-2000:]}"
    assert ended.returncode == 0, said
    assert re.search(r"^\d+ passed\b", ended.stdout, re.MULTILINE), said

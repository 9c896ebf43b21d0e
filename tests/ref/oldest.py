"""
An environment with the oldest climate-ref that this package allows: `python -m tests.ref.oldest` makes it.

It has climate-ref, its core and the example provider of the same version alone: the oldest release of the ESMValTool
provider asks for a development build of ESMValTool. Of all else that this package depends on it has the oldest that go
with this climate-ref; `scripts/freeze_constraints --oldest` writes the list. This package itself is installed for each
run, from the checkout.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.packaging.checkout import ROOT, copy_checkout
from tests.ref.cached_environment import cached_environment

REQUIREMENTS = Path(__file__).with_name("oldest-requirements.txt")
PYTHON = "3.12"
"""The oldest that climate-ref runs on; some of the packages have no wheel for a newer one."""


def oldest_environment() -> Path:
    """Return the environment without this package; it is made where it is not there yet."""
    return cached_environment("climate-ref-oldest", REQUIREMENTS, (PYTHON,))


def pinned(name: str) -> str:
    """Return the version that the list of requirements gives to a package."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").lower().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))


def install_this_package(environment: Path, directory: Path) -> Mapping[str, str]:
    """
    Install this package from the checkout into a directory of its own.

    Parameters
    ----------
    environment
        Whose pip does it.
    directory
        Where to; does not exist yet.

    Returns
    -------
    Environment variables of a process of the environment that finds it.
    """
    sources, target = directory / "sources", directory / "installed"
    copy_checkout(sources)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target))
    command = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", *options]
    subprocess.run([*command, str(sources)], check=True, cwd=directory)
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTEST_"))}
    return {**others, "PYTHONPATH": str(target), "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def versions(environment: Path) -> str:
    """Return in words what the environment has."""
    program = (
        "import platform; from importlib.metadata import version as of; print('climate-ref', of('climate-ref'), "
        "'with its core', of('climate-ref-core'), 'and the example provider', of('climate-ref-example'), "
        "'on Prefect', of('prefect'), 'SQLAlchemy', of('sqlalchemy'), 'and Python', platform.python_version())"
    )
    command = [str(environment / "bin" / "python"), "-P", "-c", program]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()


if __name__ == "__main__":
    sys.stdout.write(f"{versions(oldest_environment())}\n")

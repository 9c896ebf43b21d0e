import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import copy_checkout


def build(source: Path, target: Path, *options: str) -> None:
    """Build distributions without fetching anything."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *options, str(source)]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout to build in, with its links, without whatever Git ignores."""
    directory = tmp_path_factory.mktemp("sources")
    copy_checkout(directory)
    return directory


@pytest.fixture(scope="session")
def sdist(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    directory = tmp_path_factory.mktemp("sdist")
    build(sources, directory, "--sdist")
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built straight from the checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    build(sources, directory, "--wheel")
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="session")
def installed(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of packages into which the source distribution alone was installed."""
    directory = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(directory)]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, str(sdist)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory

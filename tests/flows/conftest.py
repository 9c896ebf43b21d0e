"""Disks that are small or cannot be written, sites to solve on, and the settings of the property tests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.flows.temporary_site import Site
from tests.flows.tmpfs_disk import Disk
from tests.postgres import postgres_server

__all__ = ["postgres_server"]

# A shared machine of two cores says nothing by being slow for once.
settings.register_profile("shared", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own, of 4 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield Disk(directory)
    subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A new state directory, data and notes."""
    return Site(tmp_path / "site", monkeypatch)

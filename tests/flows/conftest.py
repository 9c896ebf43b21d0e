"""Disks that are small or cannot be written, and sites to solve on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.temporary_site import Site
from tests.flows.tmpfs_disk import Disk, small_disk
from tests.postgres import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own, of 4 MiB."""
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A new state directory, data and notes."""
    return Site(tmp_path / "site", monkeypatch)

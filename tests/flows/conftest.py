"""Disks that are small or cannot be written, sites to solve on, and the command."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.flows.cli.main import main
from tests.flows.coordinator_processes import Ended, Run
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


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command in this process: it is the same, but for two seconds of imports."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["climate-ref-prefect", *map(str, arguments)])
        monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", os.environ.get("PREFECT_CLIENT_MAX_RETRIES", "3"))
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = (text.decode("utf-8", "surrogateescape") for text in capfdbinary.readouterr())
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, output, errors)

    return run

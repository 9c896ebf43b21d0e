"""Opens the transport that a test module gives as its `backend`, and sets up the property tests."""

from pathlib import Path

import pytest

from climate_ref_prefect.testing.transports.fixtures import allowances, narrow, own, shared
from tests.transports.scheduler_programs import Program, program_writer

__all__ = ["allowances", "narrow", "own", "shared"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write programs that alone are on PATH, but for the shell's."""
    directory = tmp_path / "programs"
    monkeypatch.setenv("PATH", str(directory))
    return program_writer(directory)

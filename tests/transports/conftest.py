"""
Opens the transport that a test module gives as its `backend`, and sets up the property tests.

`backend` is a fixture of module scope, with a parameter for each transport that the module is about.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from climate_ref_prefect.transports.port import Transport
from tests.executions import Prepare
from tests.processes import left_behind, started_here, wait_until
from tests.transports.driving import Allowances, Backend, Driving, bare
from tests.transports.programs import Program, program_writer

# A shared machine of two cores says nothing by being slow for once.
settings.register_profile("shared", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write programs that alone are on PATH, but for the shell's."""
    directory = tmp_path / "programs"
    monkeypatch.setenv("PATH", str(directory))
    return program_writer(directory)


@pytest.fixture(scope="module")
def allowances(backend: Backend) -> Allowances:
    """Return in what the transport under test may differ from others."""
    return backend.allowances


@pytest.fixture(scope="module")
def shared(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driving]:
    """Keep one open for all tests that do it no harm, with its warm servers started."""
    before = started_here()
    with Driving(backend.open(), backend.allowances) as driving:
        prepare = Prepare(tmp_path_factory.mktemp("warming"))
        driving.run(*prepare("noop", isolation="warm"))
        driving.run(*prepare("noop", isolation="fresh"))
        yield driving
    wait_until(lambda: not left_behind(before), backend.allowances.patience_seconds)


@pytest.fixture
def own(backend: Backend) -> Iterator[Driving]:
    """Open one for this test alone."""
    with Driving(backend.open(), backend.allowances) as driving:
        yield driving


@pytest.fixture
def narrow(backend: Backend) -> Iterator[Transport]:
    """Open one with room for a single execution, and without a driver."""
    with bare(backend.open_narrow(), backend.allowances) as transport:
        yield transport

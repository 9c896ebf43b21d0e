"""
The fixtures that the contract suite needs: a `conftest.py` imports them.

They open the transport that a test module gives as its `backend`, a fixture of module scope with a parameter for each
transport that the module is about.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import left_behind, started_here, wait_until
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend, Driving, bare
from climate_ref_prefect.transports.port import Transport

__all__ = ["allowances", "narrow", "own", "prepare", "scratch", "shared"]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where executions have their directories; a transport to other hosts needs a shared one."""
    return tmp_path / "scratch"


@pytest.fixture
def prepare(scratch: Path) -> Prepare:
    """Make the directory of an execution: `directory, resources = prepare("noop", memory_mb=512)`."""
    return Prepare(scratch)


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
    wait_until(lambda: not left_behind(before), backend.allowances.timeout_seconds)


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

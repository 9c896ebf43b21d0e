"""Opens the transport `local`, or what a test module gives as its `backend`."""

import pytest

from climate_ref_prefect.testing.transports.contract_driver import Backend
from climate_ref_prefect.testing.transports.fixtures import allowances, own
from tests.transports.local_backend import local_backend

__all__ = ["allowances", "own"]


@pytest.fixture(scope="module")
def backend() -> Backend:
    """Return the transport whose workers are tested."""
    return local_backend()

"""The contract suite over the transports of this machine."""

import sys

import pytest

from climate_ref_prefect.testing.transports.contract import TransportContract
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport

BACKENDS = [
    Backend("inline", InlineTransport, InlineTransport, Allowances(side_by_side=False)),
    Backend("local", lambda: LocalTransport(cpu=4), lambda: LocalTransport(cpu=1)),
]


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda backend: str(backend.name))
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return the transport under test."""
    backend: Backend = request.param
    return backend


class TestTransport(TransportContract):
    """Every transport of this machine."""


def test_an_assertion_of_the_suite_that_fails_shows_what_it_has_compared() -> None:
    suite = [module for name, module in sys.modules.items() if name.startswith(f"{TransportContract.__module__}_")]
    assert len(suite) > 4
    assert {type(module.__loader__).__name__ for module in suite} == {"AssertionRewritingHook"}

"""A file that a diagnostic has not closed is whole when its execution is a success."""

from collections.abc import Iterator

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import Backend, Driving
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.providers_that_leave_open import LINES

TARGET = "tests.providers_that_leave_open:provider"
WHOLE = "".join(f"{number}\n" for number in range(LINES)).encode()


@pytest.fixture
def local() -> Iterator[Driving]:
    """An open transport."""
    backend = Backend("local", lambda: LocalTransport(cpu=2), lambda: LocalTransport(cpu=1))
    with Driving(backend.open(), backend.allowances) as driving:
        yield driving


@pytest.mark.parametrize("isolation", ["warm", "fresh"])
@pytest.mark.parametrize("diagnostic", ["text", "binary", "cycle"])
def test_it_is_whole(local: Driving, prepare: Prepare, diagnostic: str, isolation: Isolation) -> None:
    directory, resources = prepare(diagnostic, target=TARGET, isolation=isolation)
    outcome = local.run(directory, resources)
    assert outcome.succeeded, outcome.failure
    written = (directory / "output" / "values.txt").read_bytes()
    assert written == WHOLE
    (record,) = [record for record in outcome.manifest if record.path == "values.txt"]
    assert record.size_bytes == len(written)

"""The transport `local` as tests of the worker use it: a backend, and one that is open with its server started."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Backend, Driving
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport


def local_backend(allowances: Allowances | None = None) -> Backend:
    """Return the transport `local` with two processors, and with one."""
    return Backend("local", lambda: LocalTransport(cpu=2), lambda: LocalTransport(cpu=1), allowances or Allowances())


@contextmanager
def warmed(backend: Backend, directory: Path, target: str, diagnostic: str) -> Iterator[Driving]:
    """Keep a transport open whose server has imported a provider, having run one of its diagnostics."""
    with Driving(backend.open(), backend.allowances) as driving:
        driving.run(*Prepare(directory)(diagnostic, target=target))
        yield driving

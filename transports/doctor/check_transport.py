"""Run all checks of a transport that are due before the first real run."""

from collections.abc import Generator, Sequence
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.transports.doctor_finding import Finding, note
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import unusable_transports


def check_transport(
    transport: Transport, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float
) -> Generator[Finding, None, None]:
    """
    Check a transport step by step. Nothing is left behind once the generator is closed.

    Parameters
    ----------
    transport
        The transport, which defines its own checks.
    providers
        Providers that must be importable where the transport runs executions.
    scratch
        Directory in which executions will run.
    wait_seconds
        How long a job may take to start.
    """
    for unusable in unusable_transports():
        yield note(str(unusable))
    yield from transport.examine(providers, scratch, wait_seconds)

"""The door: what is checked of a transport before the first real run."""

from collections.abc import Generator, Sequence
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ProviderReference
from climate_ref_prefect.transports.doctor.finding import Finding, note
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import unusable_transports


def examine(
    transport: Transport, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float
) -> Generator[Finding, None, None]:
    """
    Look at a transport, one thing after another; leaves nothing behind once the generator is closed.

    Parameters
    ----------
    transport
        Says itself what there is to look at.
    providers
        Must be importable where the transport runs executions.
    scratch
        Where executions will run.
    wait_seconds
        How long a job may take to start.
    """
    for unusable in unusable_transports():
        yield note(str(unusable))
    yield from transport.examine(providers, scratch, wait_seconds)

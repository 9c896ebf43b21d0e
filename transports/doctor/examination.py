"""The door: what is checked of a transport before the first real run."""

from collections.abc import Generator, Sequence
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ProviderReference
from climate_ref_prefect.transports.doctor.finding import Finding, note
from climate_ref_prefect.transports.doctor.provider import HERE, judge_provider
from climate_ref_prefect.transports.here import HereTransport
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.worker.checkup import ProviderCheck, import_provider


def examine(
    transport: Transport, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float
) -> Generator[Finding, None, None]:
    """
    Look at a transport, one thing after another; leaves nothing behind once the generator is closed.

    Parameters
    ----------
    transport
        On the coordinator's own machine there is only the import of providers to look at.
    providers
        Must be importable where the transport runs executions.
    scratch
        Where executions will run.
    wait_seconds
        How long a job may take to start.
    """
    if isinstance(transport, HereTransport):
        yield note(f"`{transport.name}` runs executions on this machine: there is nothing to check but providers.")
        for reference in providers:
            answer = import_provider(reference.model_dump_json(), transport.limits.import_deadline_seconds)
            yield judge_provider(ProviderCheck.model_validate_json(answer), HERE)
        return
    from climate_ref_prefect.transports.batch.transport import BatchTransport  # noqa: PLC0415 - imports Dask
    from climate_ref_prefect.transports.doctor.site import check_site  # noqa: PLC0415 - the same

    if isinstance(transport, BatchTransport):
        yield from check_site(transport, providers, scratch, wait_seconds)
    else:
        yield note(f"Nothing is known of how to check the transport `{transport.name}`.")

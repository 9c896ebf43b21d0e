"""`climate-ref-prefect render`: the job scripts that a batch site would be given."""

from collections.abc import Iterator, Sequence

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.providers import check_diagnostics, load_providers
from climate_ref_prefect.transports.batch.transport import BatchTransport
from climate_ref_prefect.transports.port import Transport


def render(
    transport: Transport, providers: Sequence[str], diagnostics: Sequence[str] | None
) -> Iterator[tuple[str, str]]:
    """
    Yield each diagnostic and the job script for its declared hint; submits nothing.

    Parameters
    ----------
    transport
        A batch site.
    providers
        Entry points or `module:attribute`.
    diagnostics
        Slugs; all for none.

    Raises
    ------
    BadInputError
        If the transport has no job scripts, a provider cannot be imported, or a diagnostic is not there.
    ResourcesRefusedError
        If no queue of the site fits.
    """
    if not isinstance(transport, BatchTransport):
        raise BadInputError(
            f"The transport {transport.name!r} has no job scripts: name a site profile for SLURM or PBS."
        )
    with load_providers(providers, transport.limits.import_deadline_seconds) as (loaded, broken):
        for one in broken:
            raise BadInputError(f"The provider {one.name!r} cannot be asked what it needs: {one.failure.message}")
        check_diagnostics(loaded, diagnostics)
        for provider in loaded:
            for item in provider.choose(diagnostics):
                yield f"{provider.description.slug}/{item.slug}", transport.render(item.resources)

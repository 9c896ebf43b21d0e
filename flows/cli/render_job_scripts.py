"""`climate-ref-prefect render`: the job scripts that a batch site would be given."""

from collections.abc import Iterator, Sequence

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.planning.load_providers import check_diagnostics, load_providers
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import usable_transports


def render(
    transport: Transport, providers: Sequence[str], diagnostics: Sequence[str] | None
) -> Iterator[tuple[str, str]]:
    """
    Yield each diagnostic and the job script for its declared hint; submits nothing.

    Parameters
    ----------
    transport
        One that renders jobs, as those of batch sites do.
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
    if not transport.traits.renders_jobs:
        able = [kind for kind, one in usable_transports().items() if one.traits.renders_jobs]
        raise BadInputError(
            f"The transport {transport.name!r} has no job scripts: name a site profile of the kind {' or '.join(able)}."
        )
    with load_providers(providers, transport.limits.import_deadline_seconds) as (loaded, broken):
        for one in broken:
            raise BadInputError(f"The provider {one.name!r} cannot be asked what it needs: {one.failure.message}")
        check_diagnostics(loaded, diagnostics)
        for provider in loaded:
            for item in provider.choose(diagnostics):
                yield f"{provider.description.slug}/{item.slug}", transport.render(item.resources)

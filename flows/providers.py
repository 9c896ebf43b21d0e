"""What providers declare, asked of processes of their own: a provider that crashes takes nobody along."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition, Isolation, ProviderReference
from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FailureKind
from climate_ref_prefect.diagnostics.provider import DiagnosticDescription, ProviderDescription, find_provider
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.worker.client import ProviderCodeError, ProviderImportError, ProviderServer
from climate_ref_prefect.transports.worker.execute import ServerPool

_ANSWER_SECONDS = 60.0
_CPU = 1
"""What most executions ask for, which can then be forked from the same processes."""


class BrokenProvider(FrozenModel):
    """A provider that nothing can be planned for; the others go on."""

    name: str
    failure: ExecutionFailure


class LoadedProvider:
    """A provider whose server runs: it can be asked what its executions need."""

    def __init__(self, reference: ProviderReference, description: ProviderDescription, server: ProviderServer) -> None:
        self._reference = reference
        self.description = description
        self._server = server

    @property
    def reference(self) -> ProviderReference:
        """How its executions are run: as it declares, but `fresh` where its server has found that it may not fork."""
        isolation: Isolation = "fresh" if self._server.obstacles else self.description.isolation
        return self._reference.model_copy(update={"isolation": isolation})

    def choose(self, diagnostics: Sequence[str] | None) -> tuple[DiagnosticDescription, ...]:
        """Return the diagnostics of these slugs that this provider has; all for none."""
        known = self.description.diagnostics
        return known if diagnostics is None else tuple(item for item in known if item.slug in diagnostics)

    def sizes(self, definitions: Sequence[ExecutionDefinition]) -> list[ResourceHint]:
        """Ask what executions need; raises `ProviderCodeError` where the provider's code fails."""
        return self._server.sizes(definitions, _ANSWER_SECONDS) if definitions else []


@contextmanager
def load_providers(
    names: Iterable[str], import_deadline_seconds: float, servers: ServerPool | None = None
) -> Iterator[tuple[list[LoadedProvider], list[BrokenProvider]]]:
    """
    Import providers, each in a process of its own.

    Parameters
    ----------
    names
        Entry points or `module:attribute`.
    import_deadline_seconds
        Time that each may take to be imported.
    servers
        Starts those processes, which then live as long as it does; if left out, they end with the context.

    Raises
    ------
    UnknownNameError
        If a name is no entry point; lists those that are.
    BadInputError
        If two different providers have the same slug.
    """
    references: dict[ProviderReference, str] = {}
    for name in names:
        references.setdefault(find_provider(name), name)
    loaded: list[LoadedProvider] = []
    broken: list[BrokenProvider] = []
    with ExitStack() as ending:
        pool = servers or ending.enter_context(closing(ServerPool()))
        for reference, name in references.items():
            try:
                server = pool.server(reference, _CPU, import_deadline_seconds)
                provider = LoadedProvider(reference, server.describe(_ANSWER_SECONDS), server)
            except ProviderImportError as error:
                broken.append(BrokenProvider(name=name, failure=error.failure))
            except ProviderCodeError as error:
                broken.append(BrokenProvider(name=name, failure=code_failure(error)))
            else:
                _check_slug(provider, loaded)
                loaded.append(provider)
        yield loaded, broken


def _check_slug(provider: LoadedProvider, others: Iterable[LoadedProvider]) -> None:
    for other in others:
        if other.description.slug == provider.description.slug:
            raise BadInputError(
                f"{other.reference.target} and {provider.reference.target} both call themselves "
                f"{provider.description.slug!r}: their executions could not be told apart."
            )


def code_failure(error: ProviderCodeError) -> ExecutionFailure:
    """Return the failure that stands for a provider whose own code cannot say what it needs."""
    return ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message=str(error).splitlines()[0], details=str(error))


def check_diagnostics(loaded: Sequence[LoadedProvider], diagnostics: Sequence[str] | None) -> None:
    """Raise `UnknownNameError`, listing the valid ones, for a diagnostic that no provider has."""
    known = {item.slug for provider in loaded for item in provider.description.diagnostics}
    for slug in diagnostics or ():
        if slug not in known:
            raise UnknownNameError("diagnostic", slug, known)

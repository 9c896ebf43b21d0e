"""Load providers in processes of their own and ask what they declare, so that a crash affects only the provider."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import ProviderReferenceError, UnknownNameError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, Isolation, ProviderReference
from climate_ref_prefect.diagnostics.provider import DiagnosticDescription, ProviderDescription, find_provider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.execution.worker.provider_server_client import (
    ProviderCodeError,
    ProviderImportError,
    ProviderServer,
)

_ANSWER_SECONDS = 60.0
_CPU = 1
"""The processors that most executions ask for, so that they can be forked from the same processes."""


class BrokenProvider(FrozenModel):
    """A provider, diagnostic or group for which nothing can be planned. The others are planned all the same."""

    name: str
    """The provider as the user named it, `provider/diagnostic`, or `provider/diagnostic/key`."""

    failure: ExecutionFailure


class LoadedProvider:
    """A provider whose server runs, so that it can be asked what its executions need."""

    def __init__(self, reference: ProviderReference, description: ProviderDescription, server: ProviderServer) -> None:
        self._reference = reference
        self.description = description
        self._server = server

    @property
    def reference(self) -> ProviderReference:
        """How its executions are started: as it declares, but `fresh` if its server has found that it must not fork."""
        isolation: Isolation = "fresh" if self._server.obstacles else self.description.isolation
        return self._reference.model_copy(update={"isolation": isolation})

    def choose(self, diagnostics: Sequence[str] | None) -> tuple[DiagnosticDescription, ...]:
        """Return the diagnostics of this provider with these slugs; without slugs, all of them."""
        known = self.description.diagnostics
        return known if diagnostics is None else tuple(item for item in known if item.slug in diagnostics)

    def faulty(self, diagnostics: Sequence[str] | None) -> list[BrokenProvider]:
        """Return those of the chosen diagnostics that cannot be run because their declaration is invalid."""
        return [
            broken_provider(f"{self.description.slug}/{item.slug}", f"What it declares is wrong: {item.message}.")
            for item in self.description.faulty
            if diagnostics is None or item.slug in diagnostics
        ]

    def sizes(self, definitions: Sequence[ExecutionDefinition]) -> list[ResourceHint | ExecutionFailure]:
        """Ask what executions need, or why asking fails. Raises `ProviderCodeError` if the whole request fails."""
        return self._server.sizes(definitions, _ANSWER_SECONDS) if definitions else []


def begin_imports(names: Iterable[str], servers: ServerPool) -> None:
    """Begin to import providers, all of them at once, because each import takes seconds. Raises as `load_providers`."""
    for name in names:
        found = find_installed_provider(name)
        if not isinstance(found, BrokenProvider):
            servers.begin_import(found, _CPU)


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
        How long the import of each may take.
    servers
        The pool that starts these processes and ends them. Without it, they end with the context.

    Raises
    ------
    UnknownNameError
        If a name is no entry point; lists those that are.
    ProviderReferenceError
        If a name has a colon, and is no `module:attribute`.
    """
    references: dict[ProviderReference, str] = {}
    loaded: list[LoadedProvider] = []
    broken: list[BrokenProvider] = []
    for name in names:
        found = find_installed_provider(name)
        if isinstance(found, BrokenProvider):
            broken.append(found)
        else:
            references.setdefault(found, name)
    with ExitStack() as ending:
        pool = servers or ending.enter_context(closing(ServerPool()))
        for reference in references:  # All of them at once: each import takes seconds.
            pool.begin_import(reference, _CPU)
        for reference, name in references.items():
            try:
                server = pool.server(reference, _CPU, import_deadline_seconds)
                provider = LoadedProvider(reference, server.describe(_ANSWER_SECONDS), server)
            except ProviderImportError as error:
                broken.append(BrokenProvider(name=name, failure=error.failure))
            except ProviderCodeError as error:
                broken.append(BrokenProvider(name=name, failure=code_failure(error)))
            else:
                namesake = next((one for one in loaded if one.description.slug == provider.description.slug), None)
                if namesake is None:
                    loaded.append(provider)
                else:
                    broken.append(_second_of_a_name(name, provider, namesake))
        yield loaded, broken


def find_installed_provider(name: str) -> ProviderReference | BrokenProvider:
    """
    Find a provider as `find_provider` does, or return a `BrokenProvider` for an invalid entry point.

    Raises
    ------
    UnknownNameError
        If a name is no entry point; lists those that are.
    ProviderReferenceError
        If a name has a colon, and is no `module:attribute`.
    """
    try:
        return find_provider(name)
    except ProviderReferenceError as error:
        if ":" in name:  # as the user wrote it
            raise
        return broken_provider(name, f"The package that brings it declares its entry point wrongly: {error}")


def _second_of_a_name(name: str, provider: LoadedProvider, first: LoadedProvider) -> BrokenProvider:
    return broken_provider(
        name,
        f"{provider.reference.target} calls itself {provider.description.slug!r}, as {first.reference.target} does. "
        "Their executions could not be distinguished, so only those of the provider that is named first are run.",
    )


def broken_provider(name: str, message: str, kind: FailureKind = FailureKind.PROVIDER_IMPORT) -> BrokenProvider:
    """Return a record that nothing can be planned for `name`, and why."""
    return BrokenProvider(name=name, failure=ExecutionFailure(kind=kind, message=message))


def merge_failures(failures: Iterable[tuple[ExecutionDefinition, ExecutionFailure]]) -> list[BrokenProvider]:
    """Return the failures of groups, with one entry for all groups of a diagnostic that fail in the same way."""
    alike: dict[tuple[str, ExecutionFailure], list[ExecutionDefinition]] = {}
    for definition, failure in failures:
        same = failure.model_copy(update={"details": ""})
        alike.setdefault((f"{definition.provider}/{definition.diagnostic}", same), []).append(definition)
    return [_summed_up(name, failure, definitions) for (name, failure), definitions in alike.items()]


def _summed_up(name: str, failure: ExecutionFailure, definitions: Sequence[ExecutionDefinition]) -> BrokenProvider:
    if len(definitions) == 1:
        return BrokenProvider(name=definitions[0].label, failure=failure)
    message = f"{len(definitions)} groups, {definitions[0].key} first: {failure.message}"
    return BrokenProvider(name=name, failure=failure.model_copy(update={"message": message}))


def code_failure(error: ProviderCodeError) -> ExecutionFailure:
    """Return the failure of a provider whose own code fails when it is asked what it needs."""
    return ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message=str(error).splitlines()[0], details=str(error))


def check_diagnostics(loaded: Sequence[LoadedProvider], diagnostics: Sequence[str] | None) -> None:
    """Raise `UnknownNameError`, listing the valid ones, for a diagnostic that no provider has."""
    known = {slug for provider in loaded for slug in provider.description.slugs}
    for slug in diagnostics or ():
        if slug not in known:
            raise UnknownNameError("diagnostic", slug, known)

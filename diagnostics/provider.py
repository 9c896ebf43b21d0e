"""Providers: named sets of diagnostics, found by entry point or by import reference."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.definition import Isolation, ProviderReference
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import BadInputError, ProviderReferenceError, UnknownNameError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.requirement import DataRequirement
from climate_ref_prefect.diagnostics.resources import ResourceHint

ENTRY_POINT_GROUP = "climate_ref_prefect.providers"


class DiagnosticDescription(FrozenModel):
    """What a coordinator knows of a diagnostic without importing its provider."""

    slug: str
    name: str
    version: str
    data: DataRequirement
    resources: ResourceHint


class ProviderDescription(FrozenModel):
    """What a coordinator knows of a provider without importing it."""

    slug: str
    name: str
    version: str
    isolation: Isolation
    diagnostics: tuple[DiagnosticDescription, ...]

    def diagnostic(self, slug: str) -> DiagnosticDescription:
        """Return one diagnostic; `UnknownNameError` lists the valid ones."""
        for described in self.diagnostics:
            if described.slug == slug:
                return described
        raise UnknownNameError("diagnostic", f"{self.slug}/{slug}", (d.slug for d in self.diagnostics))


class DiagnosticProvider:
    """
    A named set of diagnostics that share a version and an environment.

    Parameters
    ----------
    slug
        Short name in lower case, digits and dashes.
    name
        Name for people.
    version
        Version of the provider; what succeeded with another version is run again.
    diagnostics
        Its diagnostics, each of a slug of its own.
    isolation
        `warm` where a process that has imported the provider may be forked, `fresh` where it may not.
    """

    def __init__(
        self,
        slug: str,
        name: str,
        version: str,
        diagnostics: Iterable[Diagnostic],
        isolation: Isolation = "warm",
    ) -> None:
        self.slug = slug
        self.name = name
        self.version = version
        self.isolation: Isolation = isolation
        self._diagnostics: dict[str, Diagnostic] = {}
        for diagnostic in diagnostics:
            if diagnostic.slug in self._diagnostics:
                raise BadInputError(f"Provider {slug!r} declares diagnostic {diagnostic.slug!r} twice.")
            self._diagnostics[diagnostic.slug] = diagnostic

    @property
    def diagnostics(self) -> Mapping[str, Diagnostic]:
        """The diagnostics by slug."""
        return self._diagnostics

    def diagnostic(self, slug: str) -> Diagnostic:
        """Return one diagnostic; `UnknownNameError` lists the valid ones."""
        if slug not in self._diagnostics:
            raise UnknownNameError("diagnostic", f"{self.slug}/{slug}", self._diagnostics)
        return self._diagnostics[slug]

    def warm_up(self) -> None:
        """Do once, in the server that children are forked from, what is slow the first time; nothing by default."""

    def describe(self) -> ProviderDescription:
        """Return what a coordinator needs to plan executions."""
        return ProviderDescription(
            slug=self.slug,
            name=self.name,
            version=self.version,
            isolation=self.isolation,
            diagnostics=tuple(
                DiagnosticDescription(
                    slug=diagnostic.slug,
                    name=diagnostic.name,
                    version=diagnostic.version,
                    data=diagnostic.data,
                    resources=diagnostic.resources,
                )
                for diagnostic in self._diagnostics.values()
            ),
        )


def find_provider(name: str) -> ProviderReference:
    """
    Find a provider by the name of its entry point, or take `module:attribute` as it is; imports nothing.

    Raises
    ------
    UnknownNameError
        If no entry point has that name; it lists those that exist.
    ProviderReferenceError
        If it is neither such a name nor `module:attribute`.
    """
    if ":" in name:
        return _reference(name)
    known = installed_providers()
    if name not in known:
        raise UnknownNameError("provider", name, known)
    return _reference(known[name].value)


def _reference(target: str) -> ProviderReference:
    try:
        return ProviderReference(target=target)
    except ValidationError as error:
        raise ProviderReferenceError(f"{target!r} is not of the form package.module:attribute.") from error


def installed_providers() -> dict[str, EntryPoint]:
    """Return the entry points of all installed providers by name."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def load_provider(reference: ProviderReference) -> DiagnosticProvider:
    """
    Import a provider.

    Raises
    ------
    ProviderReferenceError
        If the attribute does not exist or is no provider. Whatever the import itself raises passes through.
    """
    module_name, _, attribute = reference.target.partition(":")
    provider = getattr(import_module(module_name), attribute, None)
    if not isinstance(provider, DiagnosticProvider):
        raise ProviderReferenceError(f"{reference.target} is {provider!r}, not a DiagnosticProvider.")
    return provider

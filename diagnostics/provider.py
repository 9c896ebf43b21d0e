"""Providers: named sets of diagnostics, found by entry point or by import reference."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.base_models import FrozenModel, Text
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.declaration_errors import declaration_error, describe_validation_error
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import BadInputError, ProviderReferenceError, UnknownNameError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, Isolation, ProviderReference, Slug
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, ResultFiles
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

_BY_MODULE = " A provider that is not installed is named by where it is, as in my_module:provider."
ENTRY_POINT_GROUP = "climate_ref_prefect.providers"


class DiagnosticDescription(FrozenModel):
    """Description of a diagnostic, which a coordinator gets without importing its provider."""

    slug: str = Slug
    name: Text
    version: Text
    data: DataRequirement
    resources: ResourceHint


class FaultyDiagnostic(FrozenModel):
    """A diagnostic whose declaration is invalid. The other diagnostics of its provider are run."""

    slug: str
    """The slug that it declares."""

    message: str
    """What is wrong, in words for people."""


class ProviderDescription(FrozenModel):
    """Description of a provider, which a coordinator gets without importing it."""

    slug: str = Slug
    name: Text
    version: Text
    isolation: Isolation
    diagnostics: tuple[DiagnosticDescription, ...]
    faulty: tuple[FaultyDiagnostic, ...] = ()
    """The diagnostics that cannot be run because their declaration is invalid."""

    problems: tuple[str, ...] = ()
    """What keeps the provider from running anything on this machine, and what to do about it; `doctor` shows it."""

    @property
    def slugs(self) -> set[str]:
        """The slugs of all diagnostics, including the faulty ones."""
        return {item.slug for item in self.diagnostics} | {item.slug for item in self.faulty}


class DiagnosticProvider:
    """
    A named set of diagnostics that share a version and an environment.

    Parameters
    ----------
    slug
        Short name in lower case, digits, dots, dashes and underscores.
    name
        Name for people.
    version
        Version of the provider. Executions that succeeded with another version are run again.
    diagnostics
        Its diagnostics, each with a unique slug.
    isolation
        `warm` if a process that has imported the provider may be forked, `fresh` if it must not be forked.
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

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult | ResultFiles:
        """
        Run one execution in its own process; by default the diagnostic that the definition names.

        Override it for a provider with another way of running, or with results of its own.

        Parameters
        ----------
        definition
            The data sets to read, and the payload.
        output_directory
            Exists and belongs to this execution. It is empty, unless the envelope names another than `output`.

        Returns
        -------
        An `ExecutionResult`, or `ResultFiles` for a recorder that understands the provider's own format.

        Raises
        ------
        Exception
            As `Diagnostic.run`.
        """
        return self.diagnostic(definition.diagnostic).run(definition, output_directory)

    def warm_up(self) -> None:
        """Do once, in the server that forks the children, what is slow the first time. Does nothing by default."""

    def describe(self) -> ProviderDescription:
        """
        Return what a coordinator needs to plan executions. Diagnostics with an invalid declaration are listed apart.

        Raises
        ------
        BadInputError
            If slug, name, version or isolation of the provider itself are invalid. The message says why.
        """
        described = [_describe(slug, diagnostic) for slug, diagnostic in self._diagnostics.items()]
        try:
            return ProviderDescription(
                slug=self.slug,
                name=self.name,
                version=self.version,
                isolation=self.isolation,
                diagnostics=tuple(each for each in described if isinstance(each, DiagnosticDescription)),
                faulty=tuple(each for each in described if isinstance(each, FaultyDiagnostic)),
            )
        except ValidationError as error:
            raise BadInputError(describe_validation_error(error)) from error


def _describe(slug: str, diagnostic: object) -> DiagnosticDescription | FaultyDiagnostic:
    if not isinstance(diagnostic, Diagnostic):
        return FaultyDiagnostic(
            slug=str(slug), message=f"it is {diagnostic!r}, and must be an instance of a Diagnostic"
        )
    try:
        described = DiagnosticDescription(
            slug=diagnostic.slug,
            name=diagnostic.name,
            version=diagnostic.version,
            data=diagnostic.data,
            resources=diagnostic.resources,
        )
        # Validated as the coordinator will read it, because a hint or requirement may have been constructed unchecked.
        return DiagnosticDescription.model_validate(described.model_dump(mode="json"))
    except ValidationError as error:
        message = describe_validation_error(error)
    except AttributeError as error:
        message = f"it does not declare {error.name!r}" if error.obj is diagnostic else f"AttributeError: {error}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a property may raise anything
        message = declaration_error(error)
    return FaultyDiagnostic(slug=str(slug), message=message)


def find_provider(name: str) -> ProviderReference:
    """
    Find a provider by the name of its entry point, or by `module:attribute`. Nothing is imported.

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
        raise UnknownNameError("provider", name, known, _BY_MODULE)
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

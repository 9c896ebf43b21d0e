"""
REF's providers as providers of this package: what a worker imports.

`climate_ref_prefect.ref.provider_adapter:ref_example` is the adapter of REF's provider `example`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import CommandFailedError, UnknownNameError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, ResultFiles
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider, ProviderDescription
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.converted_result import converted_result
from climate_ref_prefect.ref.payload import RefPayload, read_payload, ref_definition_of
from climate_ref_prefect.ref.result_document import result_files, write_result

_PREFIX: Final = "ref_"
_AS_BUNDLES: Final = "bundles_of_"
_HEAVY: Final = ("xarray", "netCDF4", "climate_ref_core.pycmec.output", "climate_ref_core.pycmec.metric")
"""What nearly every diagnostic of REF imports, and takes a second or more."""


class RefProvider(DiagnosticProvider):
    """
    Runs the executions of one of REF's providers as REF's own executors do.

    Parameters
    ----------
    ref_slug
        REF's name of the provider.
    as_bundles
        Whether results become the bundles of this package; else they stay REF's, for the recorder over its database.
    """

    def __init__(self, ref_slug: str, *, as_bundles: bool = False) -> None:
        super().__init__(ref_slug, ref_slug, "0", ())
        self._as_bundles = as_bundles
        self.ref_slug = ref_slug

    def diagnostic(self, slug: str) -> Diagnostic:
        """Refuse: the diagnostics are REF's, and only `run` knows how to run them."""
        raise UnknownNameError("diagnostic of this package", f"{self.ref_slug}/{slug}", ())

    def warm_up(self) -> None:
        """Import and configure REF's provider once, and what its diagnostics need."""
        if upstream.CONFIGURATION_VARIABLE in os.environ:
            provider_of_process(self.ref_slug)
        else:  # Jobs of PBS inherit nothing. `run` configures it, by the directory that each execution brings along.
            with suppress(upstream.InvalidProviderException):  # Only that directory's `ref.toml` may name it.
                upstream.provider_by_slug(self.ref_slug)
        for module in _HEAVY:
            with suppress(ImportError):  # A provider that needs it will say so itself.
                import_module(module)

    def describe(self) -> ProviderDescription:
        """Return REF's version of the provider, and what REF's own check finds wrong with it on this machine."""
        provider = provider_of_process(self.ref_slug)
        described = {"name": provider.name, "version": provider.version, "problems": tuple(_problems(provider))}
        return super().describe().model_copy(update=described)

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult | ResultFiles:
        """
        Run one of REF's executions, and leave its result as REF serialises it, or as bundles of this package.

        Raises
        ------
        Exception
            Whatever the diagnostic raises, which the worker maps to a failure kind.
        OSError
            If micromamba itself could not start, or the diagnostic reports a failure that can pass.
        CommandFailedError
            If the diagnostic reports another failure without an exception.
        """
        payload = read_payload(definition)
        provider = configured_provider(self.ref_slug, payload.configuration, payload.software)
        _empty(output_directory)
        with upstream.measure_resources(enabled=payload.measure_resources, cgroup_exclusive=False) as recorder:
            result = _run(provider, payload, output_directory)
        if not result.successful:
            failure = OSError if result.retryable else CommandFailedError
            raise failure(f"{definition.label} reported failure; what it logged is in its out.log.")
        if self._as_bundles:
            return converted_result(result, output_directory)
        write_result(upstream.evolve(result, resource_usage=recorder.usage), output_directory)
        return ResultFiles(files=result_files(result, output_directory))


def _problems(provider: Any) -> Iterator[str]:
    """Yield what keeps a provider from running on this machine, each with what to do."""
    configuration = upstream.configuration_directory() / "ref.toml"
    if not configuration.exists():
        yield (
            f"There is no {configuration}: `climate-ref-prefect ref init` makes it. For batch jobs, set "
            f"{upstream.CONFIGURATION_VARIABLE} in `prologue` of the profile to its directory."
        )
        return
    remedy = f"`ref providers setup --provider {provider.slug}`"
    for problem in provider.check_health(upstream.Config.default()):
        yield problem if remedy in problem else f"Remove its environment, and make it again by {remedy}. {problem}"


def _run(provider: Any, payload: RefPayload, output_directory: Path) -> Any:
    received = ref_definition_of(payload, output_directory)
    slug = received.diagnostic_full_slug.partition("/")[2]
    ref_definition = upstream.evolve(received, diagnostic=provider.get(slug))
    try:
        with upstream.redirect_logs(ref_definition, payload.log_level):
            return ref_definition.diagnostic.run(definition=ref_definition)
    except upstream.CondaCommandError as error:
        if error.launch_failed:  # Something of the node, and not of the diagnostic.
            raise OSError(f"micromamba failed to start: {error.short_message}") from error
        raise


def _empty(directory: Path) -> None:
    """Remove what an earlier attempt has left. The directory itself stays: it is this process's working directory."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def provider_of_process(slug: str) -> Any:
    """Return REF's provider, configured as this process would have it by itself."""
    directory = upstream.configuration_directory()
    return configured_provider(slug, str(directory), str(upstream.Config.default().paths.software))


@cache
def configured_provider(slug: str, configuration: str, software: str) -> Any:
    """
    Return REF's provider, configured as the coordinator's REF has it, once in each process and its forks.

    Parameters
    ----------
    slug
        REF's name of the provider.
    configuration
        Directory of `ref.toml`.
    software
        Where REF keeps the environments of conda providers.
    """
    os.environ[upstream.CONFIGURATION_VARIABLE] = configuration  # PBS hands no environment on
    config = upstream.Config.default()
    config.paths.software = Path(software)
    provider = _find_provider(slug, config)
    provider.configure(config)
    return provider


def _find_provider(slug: str, config: Any) -> Any:
    """Return a provider that is installed, or one that only `ref.toml` names."""
    try:
        return upstream.provider_by_slug(slug)
    except upstream.InvalidProviderException:
        for configured in config.diagnostic_providers:
            with suppress(upstream.InvalidProviderException):
                provider = upstream.import_provider(configured.provider)
                if provider.slug == slug:
                    return provider
        raise


def reference_of(ref_slug: str, *, as_bundles: bool = False) -> ProviderReference:
    """Return how a worker finds the adapter of one of REF's providers; see `RefProvider`."""
    name = re.sub(r"[^a-z0-9]", lambda match: f"_{ord(match[0]):02x}", ref_slug)
    return ProviderReference(target=f"{__name__}:{_AS_BUNDLES if as_bundles else _PREFIX}{name}")


def __getattr__(name: str) -> RefProvider:
    """Return the adapter that a reference of `reference_of` leads to."""
    for prefix in (_PREFIX, _AS_BUNDLES):
        if name.startswith(prefix):
            slug = re.sub(r"_([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name.removeprefix(prefix))
            return RefProvider(slug, as_bundles=prefix == _AS_BUNDLES)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

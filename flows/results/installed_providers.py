"""What the installed providers can compute, at which versions, and what each diagnostic asks for."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from climate_ref_prefect.diagnostics.provider import ProviderDescription
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.display.text_escaping import LONGEST_MESSAGE, one_line
from climate_ref_prefect.flows.planning.load_providers import BrokenProvider, load_providers


class ProvidersOverview(TabularReport):
    """Providers and their diagnostics."""

    columns: ClassVar = ("diagnostic", "what", "version", "cpu", "MiB", "wall clock")

    providers: tuple[ProviderDescription, ...]
    broken: tuple[BrokenProvider, ...]

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per diagnostic."""
        for provider in self.providers:
            for each in provider.diagnostics:
                hint = each.resources
                size = (str(hint.cpu), str(hint.memory_mb), str(hint.wall_clock))
                yield (f"{provider.slug}/{each.slug}", each.name, f"{provider.version}, {each.version}", *size)

    def headline(self) -> str:
        """Return how many there are."""
        count = sum(len(provider.diagnostics) for provider in self.providers)
        return f"{len(self.providers)} providers with {count} diagnostics; versions are the provider's and its own."

    def remarks(self) -> Iterator[str]:
        """Yield what cannot be used, and why."""
        for provider in self.providers:
            yield from (f"{provider.slug}/{item.slug} cannot be run: {item.message}" for item in provider.faulty)
            yield from (f"{provider.slug}: {problem}" for problem in provider.problems)
        for each in self.broken:
            yield f"{each.name} cannot be used: {one_line(each.failure.message, LONGEST_MESSAGE)}"


def describe_providers(names: Sequence[str]) -> ProvidersOverview:
    """
    Import providers, each in a process of its own, and return what they declare.

    Parameters
    ----------
    names
        Entry points or `module:attribute`.

    Raises
    ------
    UnknownNameError
        If a name is no entry point; lists those that are.
    """
    with load_providers(names, WorkerLimits().import_deadline_seconds) as (loaded, broken):
        descriptions = tuple(provider.description for provider in loaded)
    return ProvidersOverview(providers=descriptions, broken=tuple(broken))
